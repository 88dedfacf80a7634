"""Commands that publish images: `upload` for single files, `backfill` for whole folders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_event_log, owner_headers
from sightline.engine.connecting.owner import find
from sightline.engine.errors import SettingsInvalid, SightlineError
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.settings import Settings, load_settings
from sightline.infra.cli.stopping import stop_on_signals
from sightline.infra.commands.index_through_owner import known_through
from sightline.producers.backfill.ends import FileEnd
from sightline.producers.backfill.files import SCHEME
from sightline.producers.backfill.names import printable
from sightline.producers.backfill.record import BackfillSummary
from sightline.producers.backfill.run import BackfillOptions, run_backfill
from sightline.producers.connect import connect
from sightline.producers.images.catalogue_writes import Known
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.outcomes import EndedVersion, await_outcomes
from sightline.producers.images.published import Published
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.upload_files import FileUploaded, upload_files
from sightline.schemas.fields import Visibility
from sightline.schemas.indexed import Lane, Outcome

app = typer.Typer()

SOURCE = "/sightline/cli"
_FAILURES_SHOWN = 20
_SAID_OF = {
    Outcome.INDEXED: "searchable",
    Outcome.HIDDEN: "applied, hidden from searches",
    Outcome.SUPERSEDED: "superseded by a higher version",
    Outcome.DEAD_LETTERED: "dead-lettered (`sightline dlq list`)",
}

VisibilityOption = Annotated[
    Visibility | None, typer.Option(help="Who may see the pictures; there is no default.")
]
TagsOption = Annotated[
    str, typer.Option(metavar="TAG,…", help="Tags of the pictures, separated by commas.")
]


@contextmanager
def _publishing(
    settings: Settings, *, threads: int = 1
) -> Iterator[tuple[ImagePublisher, CataloguedImages, Known | None]]:
    running = find(settings.data_directory)
    with connect(settings, source=SOURCE) as publisher:
        catalogue = Catalogue(publisher.store, publisher.bucket)
        if running is None:
            yield publisher, CataloguedImages(catalogue, publisher), None
        else:
            known = known_through(running.url, owner_headers(settings), threads=threads)
            yield publisher, CataloguedImages(catalogue, publisher, known=known), known


@app.command()
def upload(
    files: Annotated[list[Path], typer.Argument(help="The pictures to upload.")],
    *,
    visibility: VisibilityOption = None,
    image_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The image's id, for a single file.")
    ] = None,
    tags: TagsOption = "",
    owner: Annotated[
        str | None, typer.Option(metavar="ID", help="The owner of the pictures.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="ID", help="One id for several photos of the same thing.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until each is searchable or rejected.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds that --wait waits.", min=0)
    ] = 60.0,
) -> None:
    """Upload single pictures. Says of each whether it was published, or why not."""
    if visibility is None:
        raise SettingsInvalid("say who may see them: --visibility public or --visibility private")
    if image_id is not None and len(files) != 1:
        raise SettingsInvalid("--id goes with exactly one file")
    settings = load_settings()
    with _publishing(settings) as (_, catalogued, _known):
        ends = upload_files(
            catalogued,
            files,
            image_id=image_id,
            max_bytes=settings.decode.max_bytes,
            visibility=visibility,
            tags=_list(tags),
            owner_id=owner,
            group_id=group,
            progress=_tell,
        )
    published = [end.published for end in ends if end.published is not None]
    applied = _applied(settings, published, timeout) if wait else len(published)
    if len(published) < len(ends):
        raise SightlineError(f"{len(ends) - len(published)} of {len(ends)} files were not uploaded")
    if applied < len(published):
        raise SightlineError(f"{len(published) - applied} of {len(ends)} files are not searchable")


def _applied(settings: Settings, published: list[Published], timeout_s: float) -> int:
    """How many the index has; says of each what became of it."""
    ended = await_outcomes(
        open_event_log(settings),
        published,
        timeout_s=timeout_s,
        clock=SystemClock(),
        told=_tell_end,
    )
    silent = {one.image_id for one in published} - {end.published.image_id for end in ended}
    for image_id in sorted(silent):
        typer.echo(f"no answer within {timeout_s:g} s: {image_id} (`sightline status`)", err=True)
    return sum(end.applied for end in ended)


def _tell_end(end: EndedVersion) -> None:
    after = "" if end.freshness is None else f" after {end.freshness.total_seconds():.2f} s"
    said = _SAID_OF.get(end.outcome, str(end.outcome)) + (f": {end.reason}" if end.reason else "")
    name = f"{end.published.image_id} version {end.published.version}"
    typer.echo(f"{name} {said}{after if end.applied else ''}", err=not end.applied)


@app.command()
def backfill(
    source: Annotated[str, typer.Argument(help="A folder, or `s3://bucket/prefix`.")],
    *,
    visibility: VisibilityOption = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="Ids, tags and more: CSV, JSON lines, Parquet.",
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(metavar="N", help="Publish at most N images a second.")
    ] = None,
    lane: Annotated[Lane, typer.Option(help="Which queue; `live` goes first.")] = Lane.BACKFILL,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Records progress in FILE, so that a new run resumes."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also publish known images that have changed.")
    ] = False,
    hidden: Annotated[
        bool,
        typer.Option("--hidden", help="Include hidden and system folders, such as .Trash."),
    ] = False,
) -> None:
    """Publish the pictures of a folder or bucket. Every file is accounted for."""
    _check_backfill(source, manifest, visibility)
    settings = load_settings()
    options = BackfillOptions(
        visibility=visibility,
        lane=lane,
        replace=replace,
        rate_per_s=rate,
        max_bytes=settings.decode.max_bytes,
        hidden=hidden,
    )
    stop = stop_on_signals()
    with _publishing(settings, threads=options.threads) as (publisher, catalogued, known):
        summary = _with_progress(
            publisher,
            source,
            manifest=manifest,
            options=options,
            catalogued=catalogued,
            known=known,
            state=state,
            stop=stop,
        )
    _tell_backfill(summary)
    if summary.failures:
        raise SightlineError(f"{len(summary.failures)} of {summary.total} files failed")
    if summary.done < summary.total:
        raise SightlineError(f"stopped after {summary.done} of {summary.total} files")


def _tell_backfill(summary: BackfillSummary) -> None:
    for end in FileEnd:
        if summary.counts[end]:
            typer.echo(f"{end:>12} {summary.counts[end]}")
    if summary.unsupported:
        more = _more(summary.counts[FileEnd.UNSUPPORTED] - len(summary.unsupported))
        named = ", ".join(printable(path) for path in summary.unsupported)
        typer.echo(f"no still pictures by their names: {named}{more}", err=True)
    for skipped in summary.skipped:
        typer.echo(f"skipped: {printable(skipped.path)}: {skipped.reason}", err=True)
    if more := _more(summary.counts[FileEnd.SKIPPED] - len(summary.skipped)):
        typer.echo(f"skipped:{more} (--hidden, or a manifest, publishes them)", err=True)
    for failure in summary.failures[:_FAILURES_SHOWN]:
        typer.echo(f"failed: {printable(failure.path)}: {printable(failure.reason)}", err=True)
    if more := _more(len(summary.failures) - _FAILURES_SHOWN):
        typer.echo(f"failed:{more}", err=True)


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _check_backfill(source: str, manifest: Path | None, visibility: Visibility | None) -> None:
    """What is wrong with the command line alone, before anything is connected to."""
    if manifest is None and visibility is None:
        raise SettingsInvalid("say who may see them: --visibility public, private, or a --manifest")
    if not source.startswith(SCHEME) and not Path(source).is_dir():
        raise SettingsInvalid(f"{source} is not a directory; name one, or s3://bucket/prefix")


def _with_progress(
    publisher: ImagePublisher,
    source: str,
    *,
    manifest: Path | None,
    options: BackfillOptions,
    catalogued: CataloguedImages,
    known: Known | None,
    state: Path | None,
    stop: threading.Event,
) -> BackfillSummary:
    from rich.progress import (  # noqa: PLC0415 - heavy
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as progress:
        task = progress.add_task("files", total=None)
        return run_backfill(
            publisher,
            source if source.startswith(SCHEME) else Path(source),
            manifest=manifest,
            options=options,
            known=known,
            catalogued=catalogued,
            state_file=state,
            progress=lambda so_far: progress.update(
                task, total=so_far.total, completed=so_far.done
            ),
            stop=stop,
        )


def _tell(end: FileUploaded) -> None:
    if end.published is None:
        typer.echo(f"failed: {printable(str(end.file))}: {end.reason}", err=True)
    else:
        typer.echo(
            f"{end.published.image_id} version {end.published.version} {printable(str(end.file))}"
        )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
