"""Commands on what serves: `generations list` and `drop`, `promote`, `switch`, `rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sightline.engine.settings import load_settings
from sightline.infra.cli.model_options import RateOption, ReferenceArgument
from sightline.infra.cli.plain_console import plain_console

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sightline.engine.serving.state import ServingState
    from sightline.infra.commands.rollout import Rollout

app = typer.Typer()
generations = typer.Typer(no_args_is_help=True, help="List and drop generations of the index.")
app.add_typer(generations, name="generations")

GenerationArgument = Annotated[
    str, typer.Argument(metavar="GENERATION", help="Its name (`sightline generations list`).")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for those who look later.")
]


@generations.command("list")
def list_generations() -> None:
    """List the generations, and which one serves. Each is fed until it is dropped."""
    from sightline.infra.reporting.generations_table import (  # noqa: PLC0415 - heavy
        generation_lines,
    )

    with _rollout() as rollout:
        state = rollout.state()
    for line in generation_lines(state):
        plain_console().print(line, soft_wrap=True)


@generations.command()
def drop(generation: GenerationArgument) -> None:
    """Remove a generation that serves nobody. One that served is kept for its grace time."""
    with _rollout() as rollout:
        rollout.drop(generation)
        typer.echo(f"dropped {generation}: a process with the index removes it")
        _tell(rollout, f"sightline generations drop {generation}")


@app.command()
def switch(generation: GenerationArgument, reason: ReasonOption = "by command") -> None:
    """Let a generation that is ready serve, in every process. Searches go on meanwhile."""
    from sightline.engine.serving.values import Serves  # noqa: PLC0415 - heavy
    from sightline.engine.vector_index.generations import check_name  # noqa: PLC0415 - heavy

    to = Serves(generation=check_name(generation))
    with _rollout() as rollout:
        _done(rollout, rollout.switch(to, reason), f"sightline switch {generation}")


@app.command()
def promote(
    model: ReferenceArgument,
    reason: ReasonOption = "by command",
    *,
    rate: RateOption = None,
    wait: Annotated[
        bool, typer.Option(help="Wait for a generation of its own, or only ask for it.")
    ] = True,
    without_missing: Annotated[
        bool,
        typer.Option(
            "--without-missing",
            help="Let its own generation serve although images are not in it whose bytes are gone.",
        ),
    ] = False,
) -> None:
    """Let a released model serve, at once where it can.

    Where it is linear over the one that serves, it ranks the vectors that are indexed by a matrix
    on the query, while a generation of its own is filled; then that serves. Else the command says
    why, and fills the generation first. Ended with Ctrl-C it may be repeated.
    """
    from sightline.infra.cli.reindex import reindex  # noqa: PLC0415 - it imports this module
    from sightline.infra.commands.opened_store import over_store  # noqa: PLC0415 - heavy
    from sightline.infra.commands.promote import Promotion  # noqa: PLC0415 - heavy

    command = f"sightline promote {model}"
    with over_store(Promotion.of, load_settings()) as promotion:
        begun = promotion.begin(model, reason)
        if begun.obstacle is None:
            _done(promotion.rollout, begun.state, command)
        else:
            typer.echo(f"it cannot serve by its queries alone: {begun.obstacle}")
        if begun.is_whole:
            return
        reindex(begun.model, rate=rate, wait=wait, without_missing=without_missing)
        state = promotion.finish(begun, reason)
        if state is not None:
            _done(promotion.rollout, state, command)


@app.command()
def rollback(reason: ReasonOption = "by command") -> None:
    """Let what served before serve again. A running experiment ends."""
    with _rollout() as rollout:
        _done(rollout, rollout.rollback(reason), "sightline rollback")


def _rollout() -> AbstractContextManager[Rollout]:
    from sightline.infra.commands.opened_store import over_store  # noqa: PLC0415 - heavy
    from sightline.infra.commands.rollout import Rollout  # noqa: PLC0415 - heavy

    return over_store(Rollout.of, load_settings())


def _done(rollout: Rollout, state: ServingState, command: str) -> None:
    model = state.model_of(state.serves) or "the model that the settings name"
    typer.echo(f"generation {state.serves.generation} serves, of {model} (number {state.number})")
    _tell(rollout, command)


def _tell(rollout: Rollout, command: str) -> None:
    untold = rollout.tell(command)
    if untold is not None:
        typer.echo(
            f"the log is not told ({untold}); models.v1 is by the next process that runs", err=True
        )
