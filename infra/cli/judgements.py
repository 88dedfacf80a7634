"""Commands on people's grades: `judgements pool` and `judgements agreement`."""

from __future__ import annotations

from typing import Annotated

import typer

from sightline.engine.settings import load_settings
from sightline.infra.cli.model_options import CAREFUL, StrengthOption
from sightline.infra.cli.numbers import number

app = typer.Typer()
judgements = typer.Typer(no_args_is_help=True, help="Choose what people grade; see how they agree.")
app.add_typer(judgements, name="judgements")


@judgements.command()
def pool(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the pool is called.")],
    *,
    model: Annotated[
        list[str],
        typer.Option(
            metavar="MODEL",
            help="NAME, NAME@DIGEST, `serving`, the folder of a run, or a file; may be repeated.",
        ),
    ],
    by: Annotated[
        str,
        typer.Option(
            metavar="disagreement|clicks",
            help="Take first what the models disagree on, or what was clicked and never judged.",
        ),
    ] = "disagreement",
    depth: Annotated[
        int, number("K", "Pool the first K of each model.", at_least=1, at_most=100)
    ] = 10,
    anchors: Annotated[int, number("N", "At most N searches.", at_least=1, at_most=10_000)] = 50,
    pictures: Annotated[
        int, number("N", "Search N public pictures, and all clicked ones.", at_least=2)
    ] = 2_000,
    strength: StrengthOption = CAREFUL,
    seed: Annotated[int, number("N", "Chooses pictures and order.", at_least=0)] = 0,
) -> None:
    """Choose what is worth grading. Stores it for the page at /grade."""
    from sightline.infra.commands.learning.judgements import (  # noqa: PLC0415 - heavy
        ChosenBy,
        PoolWishes,
        make_pool,
    )

    if by not in {each.value for each in ChosenBy}:
        raise typer.BadParameter("choose by disagreement or by clicks")
    wishes = PoolWishes(
        name=name,
        models=tuple(model),
        by=ChosenBy(by),
        depth=depth,
        anchors=anchors,
        pictures=pictures,
        strength=strength,
        seed=seed,
    )
    made = make_pool(load_settings(), wishes, typer.echo)
    typer.echo(f"{len(made.anchors)} searches, {len(made.pairs)} pictures to grade: /grade")


@judgements.command()
def agreement(
    name: Annotated[
        str | None, typer.Argument(metavar="POOL", help="Only over this pool; none: over all.")
    ] = None,
) -> None:
    """Tell how far judges agree. Prints weighted kappa of each two judges, and its mean."""
    from sightline.infra.commands.learning import judgements as commands  # noqa: PLC0415 - heavy

    found = commands.agreement(load_settings(), name)
    typer.echo(f"{found.graded} graded by {found.judges} judges, {found.shared} by several")
    typer.echo(f"weighted kappa {_kappa(found.kappa)}")
    for two in found.between:
        typer.echo(f"{two.shared:>8} by {' and '.join(two.judges)}: {_kappa(two.kappa)}")


def _kappa(kappa: float | None) -> str:
    return "unknown: too little" if kappa is None else f"{kappa:.3f}"
