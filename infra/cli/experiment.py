"""Commands on experiments: `experiment start`, `report` and `stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sightline.engine.settings import load_settings
from sightline.infra.cli.numbers import number

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sightline.infra.commands.experiments.place import ExperimentPlace

app = typer.Typer()
experiment = typer.Typer(
    no_args_is_help=True, help="Compare two models or generations on people who search."
)
app.add_typer(experiment, name="experiment")

_EVERYBODY, _HALF = 1.0, 0.5


@experiment.command()
def start(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A new name: figures are told apart by it.")
    ],
    *,
    generation: Annotated[
        str | None,
        typer.Option(
            metavar="G", help="The generation to try; without it, the one that serves is asked."
        ),
    ] = None,
    query_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME@DIGEST", help="Ask it through this model's matrix on the query."
        ),
    ] = None,
    share: Annotated[
        float | None,
        number(
            "S",
            "Share of actors who get it: half by default; with --interleave, all.",
            at_least=0,
            at_most=1,
        ),
    ] = None,
    interleave: Annotated[
        bool,
        typer.Option("--interleave", help="Let both rankings fill one page, and count clicks."),
    ] = False,
) -> None:
    """Start an experiment: part of the actors get another generation or model, the rest no change.

    An actor is the user, else the session, that the caller names. Who names neither is no part of
    it.
    """
    from sightline.infra.commands.experiments import starting  # noqa: PLC0415 - heavy
    from sightline.infra.commands.experiments.running import what  # noqa: PLC0415 - heavy

    if generation is None and query_model is None:
        raise typer.BadParameter("say what is to be tried: --generation, --query-model, or both")
    if share is None:
        share = _EVERYBODY if interleave else _HALF
    if not 0 < share <= (1 if interleave else 0.99):
        raise typer.BadParameter("--share must leave both arms actors: above 0, at most 0.99")
    wishes = starting.ExperimentWishes(
        name=name,
        generation=generation,
        query_model=query_model,
        share=share,
        interleave=interleave,
    )
    with _place() as place:
        begun = starting.start(place, wishes)
    typer.echo(what(begun.started))
    _say_untold(begun.untold)


@experiment.command()
def report(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One that has ended; none: the one that runs."),
    ] = None,
    *,
    least: Annotated[
        float, number("L", "A smaller relative difference counts as none.", at_least=0.001)
    ] = 0.05,
) -> None:
    """Show the result of an experiment so far. Its intervals hold however often you look."""
    from sightline.infra.commands.experiments import reporting  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.experiment_lines import report_lines  # noqa: PLC0415 - heavy

    with _place() as place:
        told = reporting.report(place, name, least=least)
    for line in report_lines(told):
        typer.echo(line)


@experiment.command()
def stop(
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why, for the record of what serves.")
    ] = "stopped by hand",
) -> None:
    """Stop the experiment: what serves answers everybody again. This promotes nothing."""
    from sightline.infra.commands.experiments import stopping  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.experiment_lines import report_lines  # noqa: PLC0415 - heavy

    with _place() as place:
        stopped = stopping.stop(place, reason)
    name = stopped.started.name
    if stopped.told is not None:
        for line in report_lines(stopped.told):
            typer.echo(line)
    typer.echo(f"{name} has ended; `sightline experiment report {name}` counts late searches, too")
    _say_untold(stopped.untold)


def _say_untold(untold: str | None) -> None:
    if untold is not None:
        told = f"models.v1 is not told: {untold}; the next process that runs tells it"
        typer.echo(told, err=True)


def _place() -> AbstractContextManager[ExperimentPlace]:
    from sightline.infra.commands.experiments.place import ExperimentPlace  # noqa: PLC0415 - heavy
    from sightline.infra.commands.opened_store import over_store  # noqa: PLC0415 - heavy

    return over_store(ExperimentPlace.of, load_settings())
