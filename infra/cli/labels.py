"""Commands on label data: `sink`, `retract`, `erase-user`, `triples` and `propensity`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.engine.settings import load_settings
from sightline.infra.cli.numbers import number
from sightline.schemas.topics import DAY_MS, FOREVER_MS
from sightline.schemas.topics import topic as topic_named

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sightline.infra.commands.labels import LabelCommands

app = typer.Typer()
triples = typer.Typer(
    no_args_is_help=True, help="Show, count, export and explain training triples."
)
propensity = typer.Typer(
    no_args_is_help=True, help="Measure how much a place on the page earns clicks."
)
app.add_typer(triples, name="triples")
app.add_typer(propensity, name="propensity")

_HEAD = ("triple_id", "anchor_id", "positive_id", "negative_id", "grade", "sampling_weight")

PartitionOption = Annotated[
    list[int] | None,
    typer.Option(
        "--partition", min=0, metavar="N", help="A partition to read, may be repeated; none: all."
    ),
]
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The id of a triple, or of a search.")
]
ImageArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="IMAGE", help="An image that the search showed; only with a search's id."
    ),
]


def _not_blank(user: str) -> str:
    if not user.strip():
        raise typer.BadParameter("a user id is not blank")
    return user


@app.command()
def sink(partition: PartitionOption = None) -> None:
    """Write triples to Parquet files, and count searches. Services mode only."""
    from sightline.infra.cli.stopping import stop_on_signals  # noqa: PLC0415 - heavy
    from sightline.infra.commands.labels import run_sink  # noqa: PLC0415 - heavy

    run_sink(load_settings(), stop_on_signals(), partitions=tuple(partition or ()))


@app.command()
def retract() -> None:
    """Remove triples of erased users and hidden images. Does now what sinks do hourly."""
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
        str,
        typer.Argument(
            help="The user's id, as your site sends it to the API.", callback=_not_blank
        ),
    ],
) -> None:
    """Forget a user. Removes query pictures; their searches make no more triples."""
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
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, metavar="N", help="How many triples to show.")
    ] = 10,
) -> None:
    """Show the newest triples, one in a line. A line has ids, grade and weight."""
    with _commands() as commands:
        newest = commands.newest(count)
    if not newest.num_rows:
        typer.echo("no triples yet: `sightline status` tells what waits", err=True)
    for row in newest.select(_HEAD).to_pylist():
        typer.echo(" ".join(str(value) for value in row.values()))


@triples.command()
def stats() -> None:
    """Count triples by model and variant. Counts rows and files, too."""
    with _commands() as commands:
        for line in commands.stats():
            typer.echo(line)


@triples.command()
def export(
    file: Annotated[
        Path, typer.Argument(help="The file to write; its name ends in .parquet or .csv.")
    ],
    *,
    certain: Annotated[
        int,
        number(
            "N",
            "Only negatives that are surely wrong: beyond two clicks of the anchor and passed "
            "over by N of its searches, or passed over by 5 (docs/labels.md); 0: all.",
            at_least=0,
        ),
    ] = 0,
) -> None:
    """Write the triples that hold, each once, to one file."""
    with _commands() as commands:
        count = commands.export(file, certain=certain)
    typer.echo(f"{count} triples in {file}")


@triples.command()
def why(name: IdArgument, image: ImageArgument = None) -> None:
    """Explain a triple. Tells, too, why an image that a search showed made none."""
    with _commands() as commands:
        for line in commands.why(name, image):
            typer.echo(line)


@propensity.command()
def fit(
    *,
    min_pairs: Annotated[
        int,
        number("N", "Fit a place only if N of its images were shown elsewhere, too.", at_least=1),
    ] = 50,
    min_clicks: Annotated[
        int, number("N", "Fit a place only if those images got N clicks there.", at_least=1)
    ] = 30,
    max_weight: Annotated[float, number("W", "Reduce larger weights to W.", at_least=1)] = 10.0,
) -> None:
    """Fit the position bias. Reads closed epochs; stores a new version and a picture."""
    from sightline.infra.commands.propensity_lines import propensity_lines  # noqa: PLC0415 - heavy

    with _commands() as commands:
        fitted = commands.fit(min_pairs=min_pairs, min_clicks=min_clicks, max_weight=max_weight)
    curve = fitted.curve
    if fitted.again:
        typer.echo(f"same as version {curve.version}, not stored again")
    varied = f"{curve.explored} of them on pages varied by chance"
    typer.echo(f"version {curve.version}: {curve.searches} searches, {varied};")
    typer.echo(f"{curve.pairs} images at several places, {curve.anchors} anchors; {fitted.picture}")
    for line in propensity_lines(curve):
        typer.echo(line)
    if not curve.explored and not all(place.fitted for place in curve.positions):
        typer.echo("no page was varied by chance: api.explore_share would tell more of the places")


def _commands() -> AbstractContextManager[LabelCommands]:
    from sightline.infra.commands.labels import LabelCommands  # noqa: PLC0415 - heavy
    from sightline.infra.commands.opened_store import over_store  # noqa: PLC0415 - heavy

    return over_store(LabelCommands, load_settings())
