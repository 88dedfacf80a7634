"""`sightline train`: from clicks to a head, in a folder; `sightline retrain`: to a release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sightline.engine.settings import load_settings
from sightline.infra.cli.model_options import (
    CorpusOption,
    NewFolderArgument,
    TemperatureOption,
    TensorboardOption,
)
from sightline.infra.cli.numbers import number

app = typer.Typer()


@app.command()
def train(
    context: typer.Context,
    *,
    folder: NewFolderArgument,
    seed: Annotated[int, number("N", "Equal seeds and data give equal bytes.", at_least=0)] = 0,
    steps: Annotated[
        int | None, number("N", "Training steps; else 200, or 100 below 2,000 pairs.", at_least=0)
    ] = None,
    batch: Annotated[int, number("N", "Pairs in a step.", at_least=1)] = 128,
    temperature: TemperatureOption = 0.1,
    skip_hardest: Annotated[
        int, number("N", "Leave out the N most similar negatives of each.", at_least=0)
    ] = 0,
    balance: Annotated[
        float, number("B", "0 weighs pairs alike, 1 weighs anchors alike.", at_least=0, at_most=1)
    ] = 0.5,
    depth: Annotated[
        int, number("N", "Hidden layers to train by; the head stays linear.", at_least=0)
    ] = 0,
    activation: Annotated[
        str, typer.Option(metavar="relu|gelu|tanh", help="Activation of hidden layers.")
    ] = "gelu",
    familiar: Annotated[
        bool,
        typer.Option(
            "--familiar",
            help="Change familiar directions alone: kinder to unlike pictures, wins less.",
        ),
    ] = False,
    familiarity_gate: Annotated[
        bool,
        typer.Option(
            "--familiarity-gate",
            help="Leave pictures unlike all that was clicked in their old places; it serves once "
            "its own index is filled.",
        ),
    ] = False,
    held_out: Annotated[
        float | None,
        number(
            "S",
            "Share of the kinds that is kept out; else a fifth, or 80 of 160 and more, "
            "or 120 of 300 and more.",
            at_least=0,
        ),
    ] = None,
    aside: Annotated[
        float, number("S", "Share of the other kinds' pictures that is kept out.", at_least=0)
    ] = 0.1,
    later: Annotated[
        float, number("S", "Share of the newest pairs that is kept out.", at_least=0)
    ] = 0.1,
    corpus: CorpusOption = 2_000,
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What `sightline tune` found, in place of the defaults; options named here hold.",
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Read triples and judgements only as far as that training did."
        ),
    ] = None,
    from_topic: Annotated[
        bool,
        typer.Option("--from-topic", help="Read the labelled topic itself; no sink need have run."),
    ] = False,
    tensorboard: TensorboardOption = None,
) -> None:
    """Train a head on what people clicked. Writes FOLDER; publishes nothing.

    It reads training triples (what the label sink wrote), judgements and the stored pictures,
    makes each picture's features once, keeps some kinds of things, some pictures of the others
    and the newest clicks out, so that they can judge the model, and trains on the rest: seconds,
    once features are known.

    FOLDER then has the head, run.json (what it follows from) and its learning curve. Killed, the
    same command goes on. The defaults are those that were measured (docs/training.md).

    Next: `sightline evaluate FOLDER --against serving --photos PHOTOS --report page.html`, and
    `sightline models release NAME FOLDER`.
    """
    from sightline.infra.commands.learning.train import TrainWishes, run_training  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.progress import bar, loss_lines  # noqa: PLC0415 - heavy
    from sightline.training.loop.learning import LearningSettings  # noqa: PLC0415 - heavy
    from sightline.training.loop.settings import HeadSettings  # noqa: PLC0415 - heavy
    from sightline.training.loop.settings_file import read_settings  # noqa: PLC0415 - heavy

    given: dict[str, Any] = {
        "seed": seed,
        "steps": steps,
        "batch": batch,
        "temperature": temperature,
        "skip_hardest": skip_hardest,
        "balance": balance,
        "depth": depth,
        "activation": activation,
        "familiar": familiar,
        "familiarity_gate": familiarity_gate,
    }
    if settings is None:
        head = HeadSettings(**given)
    else:
        named = {name: value for name, value in given.items() if _was_named(context, name)}
        head = replace(read_settings(settings), **named)
    learning = LearningSettings(head=head, held_out=held_out, aside=aside, later=later)
    wishes = TrainWishes(
        folder=folder,
        learning=learning,
        corpus=corpus,
        like=like,
        from_topic=from_topic,
        tensorboard=tensorboard,
    )
    learnt = run_training(load_settings(), wishes, typer.echo, bar)
    taught = int(learnt.trained_on.sum())
    typer.echo(f"{taught} of {len(learnt.pairs)} pairs taught; the others may judge")
    for line in loss_lines(learnt.trained.curve.losses, folder):
        typer.echo(line)
    typer.echo(f"the head: {folder / 'head.safetensors'}")


def _was_named(context: typer.Context, option: str) -> bool:
    """Whether an option stood on the command line."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


@app.command()
def retrain(
    *,
    once: Annotated[bool, typer.Option("--once", help="Do what is due, and end.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Train on what there is, however little, and end.")
    ] = False,
) -> None:
    """Train, evaluate and release when clicks have come. This alone changes no search."""
    from sightline.infra.cli.stopping import stop_on_signals  # noqa: PLC0415 - heavy
    from sightline.infra.commands.learning.retraining import retrain_once, watch_retraining  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.retraining_lines import retraining_lines  # noqa: PLC0415 - heavy

    settings, stop = load_settings(), stop_on_signals()
    if not (once or now):
        watch_retraining(settings, stop)
        return
    if not retrain_once(settings, stop, now=now):
        typer.echo("nothing was due, or another process does it")
    for line in retraining_lines(settings):
        typer.echo(line)
