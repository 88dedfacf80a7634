"""`sightline models release`: a trained model in the registry, if the gate agrees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.engine.errors import SettingsInvalid, SightlineError
from sightline.engine.regular_files import read_text
from sightline.engine.settings import Settings, load_settings
from sightline.infra.cli.model_options import (
    CAREFUL,
    LABELS,
    ClickedOption,
    PhotosOption,
    StrengthOption,
    TruthOption,
    wishes_of,
)
from sightline.infra.reporting.release_line import release_line

if TYPE_CHECKING:
    from sightline.infra.commands.learning.measured_on import TruthWishes
    from sightline.infra.commands.models import Released
    from sightline.training.models.candidates import Candidate

_MAX_CARD_BYTES = 1_048_576


def release(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the model is called.")],
    place: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="The folder of a training run, or a safetensors file of a head or a projection.",
        ),
    ],
    *,
    strength: StrengthOption = CAREFUL,
    card: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="FILE", help="A model card in Markdown."),
    ] = None,
    photos: PhotosOption = None,
    clicked: ClickedOption = None,
    truth: TruthOption = None,
) -> None:
    """Release a trained model, unmeasured or if the gate agrees. This alone changes no search.

    With --photos and --clicked, or with another --truth, the gate compares it with the model that
    serves.
    """
    from sightline.infra.commands.learning import evaluate as evaluating  # noqa: PLC0415 - heavy
    from sightline.infra.commands.models import ModelCommands, Released  # noqa: PLC0415 - heavy
    from sightline.infra.commands.opened_store import over_store  # noqa: PLC0415 - heavy

    if (photos is None) != (clicked is None):
        raise typer.BadParameter("the gate needs both --photos and --clicked")
    settings = load_settings()
    if truth in {None, LABELS} and photos is None:
        model = evaluating.candidate(settings, str(place), strength=strength)
        told = Released.of_run(place, model.name)
    else:
        run = None if truth in {None, LABELS} else place
        wishes = wishes_of(truth, photos=photos, clicked=clicked, run=run)
        model, told = _through_the_gate(settings, place, wishes)
    with over_store(ModelCommands, settings) as commands:
        event = commands.release(name, model, told, None if card is None else _card_in(card))
    typer.echo(release_line(event))
    typer.echo(f"`sightline reindex {event.data.name}@{event.data.digest} --switch` serves it")


def _card_in(file: Path) -> str:
    try:
        return read_text(file, _MAX_CARD_BYTES)
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"--card: {file} cannot be read: {error}") from error


def _through_the_gate(
    settings: Settings, place: Path, wishes: TruthWishes
) -> tuple[Candidate, Released]:
    """The model at the strength that the gate releases, and what was measured of it."""
    from sightline.engine.connecting.released_model import named_digest  # noqa: PLC0415 - heavy
    from sightline.engine.connecting.serving_model import as_serving  # noqa: PLC0415 - heavy
    from sightline.infra.commands.learning import evaluate as evaluating  # noqa: PLC0415 - heavy
    from sightline.infra.commands.learning.measured_on import measured_on  # noqa: PLC0415 - heavy
    from sightline.infra.commands.models import Released  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.evaluation_table import verdict  # noqa: PLC0415 - heavy

    settings = as_serving(settings)
    against = named_digest(settings)
    serving = evaluating.candidate(settings, evaluating.SERVING, strength=1)
    with measured_on(settings, wishes, serving) as on:
        judged = evaluating.judge(settings, on, str(place), serving)
        for line in (f"truth: {on.queries.truth()}", *verdict(judged)):
            typer.echo(line)
        if not judged.released:
            raise SightlineError("not released: the gate says what is missing")
        measured = evaluating.evaluate(on.queries, judged.model, serving)
    told = Released.of_run(place, judged.model.name)
    metrics, gate = {**told.metrics, **measured.metrics}, evaluating.gate_lines(judged.decision)
    return judged.model, replace(told, metrics=metrics, gate=gate, against=against)
