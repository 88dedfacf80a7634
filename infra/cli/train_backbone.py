"""`sightline train-backbone`: the network's own weights, from a head's run or from pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import load_settings
from sightline.infra.cli.model_options import (
    NewFolderArgument,
    TemperatureOption,
    TensorboardOption,
)
from sightline.infra.cli.numbers import number

app = typer.Typer()


@app.command("train-backbone")
def train_backbone(
    *,
    folder: NewFolderArgument,
    head: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="The folder of `sightline train` that it begins at."),
    ] = None,
    without_clicks: Annotated[
        bool, typer.Option("--without-clicks", help="Learn from views of public pictures alone.")
    ] = False,
    strength: Annotated[
        float, number("S", "How much of the head to begin with.", at_least=0, at_most=1)
    ] = 1.0,
    seed: Annotated[int, number("N", "Chooses batches and views.", at_least=0)] = 0,
    steps: Annotated[int, number("N", "Training steps.", at_least=0)] = 200,
    batch: Annotated[int, number("N", "Pairs in a step.", at_least=1)] = 64,
    blocks: Annotated[int, number("N", "Train the last N blocks; 0: all of them.", at_least=0)] = 1,
    learning_rate: Annotated[
        float, number("R", "Learning rate at the start; it falls to 0 along half a cosine.")
    ] = 1e-4,
    temperature: TemperatureOption = 0.1,
    smallest: Annotated[
        float, number("S", "The least share of a picture that a view shows.")
    ] = 0.2,
    jitter: Annotated[
        float, number("S", "How much a view's colours change; 0: not.", at_least=0)
    ] = 0.5,
    rotation: Annotated[
        bool, typer.Option("--rotation", help="Turn each view by 0, 90, 180 or 270 degrees, too.")
    ] = False,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        typer.Option(help="What the network computes in; auto: bf16 where the machine can."),
    ] = "auto",
    chunk: Annotated[int, number("N", "Pictures in the network at once: memory.", at_least=1)] = 64,
    corpus: Annotated[
        int, number("N", "Further public pictures, as negatives.", at_least=0)
    ] = 2_000,
    crops_mib: Annotated[
        int, number("MIB", "Decoded crops kept in memory; 0: none.", at_least=0)
    ] = 512,
    tensorboard: TensorboardOption = None,
) -> None:
    """Train the network's last blocks with its projection. Writes FOLDER; publishes nothing.

    It begins at a trained head (--head), reads what that training read and keeps out what that
    one kept out; or, before there are clicks, it learns from two views of each picture
    (--without-clicks). It sees pixels, not kept features: on processors that takes hundreds of
    times as long as a head, and beside clicks it won nothing when it was measured; without them it
    won a little (docs/backbone.md).

    FOLDER then has weights.safetensors and projection.safetensors. Killed, the same command goes
    on. Several processes: `torchrun --nproc-per-node N -m sightline.infra.cli train-backbone ...`.

    Next: `sightline evaluate FOLDER --against serving --photos PHOTOS`, and `sightline models
    release NAME FOLDER`.
    """
    from sightline.infra.commands.learning.backbone import (  # noqa: PLC0415 - heavy
        BackboneWishes,
        concrete,
        run_backbone,
    )
    from sightline.infra.reporting.progress import bar, loss_lines  # noqa: PLC0415 - heavy
    from sightline.training.backbone.settings import BackboneSettings  # noqa: PLC0415 - heavy

    if (head is None) != without_clicks:
        raise SettingsInvalid("name the head's run by --head, or say --without-clicks")
    chosen = BackboneSettings(
        seed=seed,
        steps=steps,
        batch=batch,
        blocks=blocks or None,
        learning_rate=learning_rate,
        temperature=temperature,
        smallest=smallest,
        jitter=jitter,
        rotation=rotation,
        precision=concrete(precision),
        chunk=chunk,
    )
    wishes = BackboneWishes(
        folder=folder,
        head=head,
        strength=strength,
        settings=chosen,
        corpus=corpus,
        crops_mib=crops_mib,
        tensorboard=tensorboard,
    )
    losses = run_backbone(load_settings(), wishes, typer.echo, bar).curve.losses
    for line in loss_lines(losses, folder):
        typer.echo(line)
    typer.echo(f"the model: {folder}")
