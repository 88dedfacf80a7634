"""The command `backfill`: the pictures of a whole folder or bucket, every file accounted for."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from sightline.engine.errors import SettingsInvalid, SightlineError
from sightline.engine.settings import load_settings
from sightline.infra.cli.numbers import number
from sightline.infra.cli.publishing import VisibilityOption, publishing_here
from sightline.infra.cli.stopping import stop_on_signals
from sightline.producers.backfill.ends import FileEnd
from sightline.producers.backfill.files import SCHEME
from sightline.producers.backfill.names import printable
from sightline.producers.backfill.record import BackfillSummary
from sightline.producers.backfill.run import BackfillOptions, run_backfill
from sightline.producers.images.catalogue_writes import Known
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.fields import Visibility
from sightline.schemas.indexed import Lane

app = typer.Typer()

_FAILURES_SHOWN = 20


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
        float | None, number("N", "Publish at most N images a second.", at_least=0.001)
    ] = None,
    lane: Annotated[Lane, typer.Option(help="Which queue; `live` goes first.")] = Lane.BACKFILL,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Records progress in FILE, so that a new run resumes."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Publish known images that have changed, too.")
    ] = False,
    hidden: Annotated[
        bool, typer.Option("--hidden", help="Include hidden and system folders, such as .Trash.")
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
    with publishing_here(settings, threads=options.threads) as (publisher, catalogued, known):
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
