"""Commands on label data: `sink`, `retract`, `erase-user`, `triples` and `propensity`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.engine.settings import load_settings
from sightline.schemas.topics import DAY_MS, FOREVER_MS
from sightline.schemas.topics import topic as topic_named

if TYPE_CHECKING:
    from sightline.infra.commands.labels import LabelCommands

app = typer.Typer()
triples = typer.Typer(no_args_is_help=True, help="Training triples: shown, counted, explained.")
propensity = typer.Typer(no_args_is_help=True, help="Position bias, from closed searches.")
app.add_typer(triples, name="triples")
app.add_typer(propensity, name="propensity")

_HEAD = ("triple_id", "anchor_id", "positive_id", "negative_id", "grade", "sampling_weight")

PartitionOption = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="Only these; several sinks share.")
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of a triple, or of a search.")]
ImageArgument = Annotated[
    str | None, typer.Argument(metavar="IMAGE", help="With a search: why it made a triple or none.")
]


def _not_blank(user: str) -> str:
    if not user.strip():
        raise typer.BadParameter("a user id is not blank")
    return user


@app.command()
def sink(partition: PartitionOption = None) -> None:
    """Write training triples to Parquet, and metrics of closed searches (services mode)."""
    from sightline.infra.cli.stopping import stop_on_signals  # noqa: PLC0415 - heavy
    from sightline.infra.commands.labels import run_sink  # noqa: PLC0415 - heavy

    run_sink(load_settings(), stop_on_signals(), partitions=tuple(partition or ()))


@app.command()
def retract() -> None:
    """Take back triples of erased users and of deleted or hidden images now; sinks do it hourly."""
    with _commands() as commands:
        report = commands.retract()
    typer.echo(f"{report.triples_read} rows read, {report.rows_removed} removed")
    for cause, count in sorted(report.retracted.items()):
        typer.echo(f"{count:>8} triples taken back: {cause}")
    typer.echo(
        f"{report.entries_rewritten} manifest entries rewritten, "
        f"{report.orphans_removed} stray files removed"
    )


@app.command("erase-user")
def erase(
    user: Annotated[
        str, typer.Argument(help="The plain user id, as the API gets it.", callback=_not_blank)
    ],
) -> None:
    """Forget a user: their searches make no more triples, their query pictures are removed."""
    with _commands() as commands:
        report = commands.erase(user)
    typer.echo(f"erased {report.user_pseudonym} at {report.erased_at.isoformat()}")
    typer.echo(f"{len(report.queries_removed)} query pictures removed")
    if report.queries_shared:
        typer.echo(f"{len(report.queries_shared)} kept: somebody else asked by the same picture")
    for topic, count in sorted(report.searches.items()):
        typer.echo(f"{count} of their searches stay in {topic}, which {_forgets(topic)}")
    if report.judgements:
        typer.echo(
            f"{report.judgements} grades of theirs stay in judgements.v1; data sets omit them"
        )
    typer.echo("metrics count them by names that held for a day each, tied to nobody")
    typer.echo("the next retraction takes back what was mined from them; `sightline retract`: now")
    typer.echo("what was exported, and models trained before: docs/privacy.md")


def _forgets(topic: str) -> str:
    if topic_named(topic).retention_ms == FOREVER_MS:
        return "forgets nothing: delete it, and import logs without them (docs/privacy.md)"
    return f"forgets in {topic_named(topic).retention_ms // DAY_MS} days"


@triples.command()
def head(
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="So many.")] = 10,
) -> None:
    """Show the newest triples: id, anchor, positive, negative, grade, weight."""
    with _commands() as commands:
        newest = commands.newest(count)
    if not newest.num_rows:
        typer.echo("no triples yet: `sightline status` tells what waits", err=True)
    for row in newest.select(_HEAD).to_pylist():
        typer.echo(" ".join(str(value) for value in row.values()))


@triples.command()
def stats() -> None:
    """Count triples, by model and variant, and what the manifest holds."""
    with _commands() as commands:
        for line in commands.stats():
            typer.echo(line)


@triples.command()
def export(
    file: Annotated[Path, typer.Argument(help="Ends in .parquet or .csv.")],
) -> None:
    """Write the triples that hold, each once, to one file."""
    with _commands() as commands:
        count = commands.export(file)
    typer.echo(f"{count} triples in {file}")


@triples.command()
def why(name: IdArgument, image: ImageArgument = None) -> None:
    """Tell the search, clicks and rules behind a triple, or why a shown image made none."""
    with _commands() as commands:
        for line in commands.why(name, image):
            typer.echo(line)


@propensity.command()
def fit(
    *,
    min_pairs: Annotated[
        int, typer.Option(min=1, help="Images at a place that were also shown elsewhere.")
    ] = 50,
    min_clicks: Annotated[int, typer.Option(min=1, help="On them, at that place.")] = 30,
    max_weight: Annotated[float, typer.Option(min=1, help="Larger weights are clipped.")] = 10.0,
) -> None:
    """Fit the position bias over closed epochs; writes a new version and a picture."""
    from sightline.infra.commands.propensity_lines import lines  # noqa: PLC0415 - heavy

    with _commands() as commands:
        fitted = commands.fit(min_pairs=min_pairs, min_clicks=min_clicks, max_weight=max_weight)
    curve = fitted.curve
    if fitted.again:
        typer.echo(f"same as version {curve.version}, not stored again")
    typer.echo(f"version {curve.version}: {curve.searches} searches, {curve.pairs} images at")
    typer.echo(f"several places, {curve.anchors} anchors; {fitted.picture}")
    for line in lines(curve):
        typer.echo(line)


@contextmanager
def _commands() -> Iterator[LabelCommands]:
    from sightline.infra.commands.labels import LabelCommands  # noqa: PLC0415 - heavy

    with LabelCommands.open(load_settings()) as commands:
        yield commands
