"""The command `upload`: single pictures, each told as published or not, and as searchable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_event_log
from sightline.engine.errors import SettingsInvalid, SightlineError
from sightline.engine.settings import Settings, load_settings
from sightline.infra.cli.numbers import number
from sightline.infra.cli.publishing import VisibilityOption, publishing_here
from sightline.producers.backfill.names import printable
from sightline.producers.images.outcomes import EndedVersion, await_outcomes
from sightline.producers.images.published import Published
from sightline.producers.images.upload_files import FileUploaded, upload_files
from sightline.schemas.indexed import Outcome

app = typer.Typer()

_SAID_OF = {
    Outcome.INDEXED: "searchable",
    Outcome.HIDDEN: "applied, hidden from searches",
    Outcome.SUPERSEDED: "superseded by a higher version",
    Outcome.DEAD_LETTERED: "dead-lettered (`sightline dlq list`)",
}
TagsOption = Annotated[
    str, typer.Option(metavar="TAG,…", help="Tags of the pictures, separated by commas.")
]


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
    timeout: Annotated[float, number("S", "Seconds that --wait waits.", at_least=0)] = 60.0,
) -> None:
    """Upload single pictures. Says of each whether it was published, or why not."""
    if visibility is None:
        raise SettingsInvalid("say who may see them: --visibility public or --visibility private")
    if image_id is not None and len(files) != 1:
        raise SettingsInvalid("--id goes with exactly one file")
    settings = load_settings()
    with publishing_here(settings) as (_, catalogued, _known):
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


def _tell(end: FileUploaded) -> None:
    if end.published is None:
        typer.echo(f"failed: {printable(str(end.file))}: {end.reason}", err=True)
    else:
        typer.echo(
            f"{end.published.image_id} version {end.published.version} {printable(str(end.file))}"
        )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
