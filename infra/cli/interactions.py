"""Commands for what people did: `interactions import`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import ensure_topics, open_event_log, open_log_producer
from sightline.engine.errors import SettingsInvalid, SightlineError
from sightline.engine.settings import Mode, Settings, load_settings
from sightline.producers.connect import signing_ids
from sightline.producers.interactions.history.import_log import Imported, InteractionImporter
from sightline.producers.interactions.history.records import HistoryRecord, records_of
from sightline.producers.interactions.history.rows import RowRefused, read_log
from sightline.producers.tables.rows import place_in
from sightline.schemas.topics import INTERACTIONS_IMPORTED

app = typer.Typer()
interactions = typer.Typer(
    no_args_is_help=True, help="Import what people did, from the logs of a site."
)
app.add_typer(interactions, name="interactions")

_REFUSALS_SHOWN = 20


@interactions.callback()
def group() -> None:
    """Import what people did with search results, from your own logs."""


@interactions.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV or Parquet; docs/interactions.md lists the columns.")
    ],
    *,
    skip_invalid: Annotated[
        bool,
        typer.Option("--skip-invalid", help="Leave out invalid rows instead of refusing the file."),
    ] = False,
    more_follows: Annotated[
        bool,
        typer.Option(
            "--more-follows", help="Another log follows in time: do not close the last epoch."
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an import of this file that was interrupted.")
    ] = False,
) -> None:
    """Import a site's own log of searches and clicks. Each record keeps its own time."""
    settings = load_settings()
    if settings.mode is Mode.EMBEDDED:
        raise SettingsInvalid(
            'importing needs Kafka (mode = "services"): the embedded log keeps too little'
        )
    records = _records(file, settings, skip_invalid=skip_invalid)
    done = _write(records, settings, resume=resume, more_follows=more_follows)
    typer.echo(
        f"{done.records} records from {done.first.isoformat()} to {done.last.isoformat()} in "
        f"{INTERACTIONS_IMPORTED.name}, {done.ticks} ticks"
        + (f", {done.skipped} were there already" if done.skipped else "")
    )
    typer.echo("now run `sightline join --imported` and `sightline mine --imported` on it")


def _records(file: Path, settings: Settings, *, skip_invalid: bool) -> list[HistoryRecord]:
    rows, refused = read_log(file, now=SystemClock().now())
    records, more = records_of(rows, signing_ids(settings))
    refused = sorted([*refused, *more], key=lambda one: one.number)
    _tell(refused, place_in(file))
    if refused and not skip_invalid:
        raise SightlineError(
            f"{len(refused)} rows were refused and nothing was imported: "
            "mend them, or import the rest with --skip-invalid"
        )
    if not records:
        raise SightlineError("no row is left to import")
    return records


def _tell(refused: list[RowRefused], place: str) -> None:
    for one in refused[:_REFUSALS_SHOWN]:
        typer.echo(f"{place} {one.number}: {one.reason}", err=True)
    if len(refused) > _REFUSALS_SHOWN:
        typer.echo(f"… and {len(refused) - _REFUSALS_SHOWN} more", err=True)


def _write(
    records: list[HistoryRecord], settings: Settings, *, resume: bool, more_follows: bool
) -> Imported:
    ensure_topics(settings)
    ends = open_event_log(settings).last_records(INTERACTIONS_IMPORTED.name)
    with closing(open_log_producer(settings)) as producer:
        return InteractionImporter(
            producer,
            topic=INTERACTIONS_IMPORTED.name,
            ends={p: None if at is None else at.timestamp for p, at in ends.items()},
            labels=settings.labels,
            now=SystemClock().now(),
        ).run(records, resume=resume, more_follows=more_follows)
