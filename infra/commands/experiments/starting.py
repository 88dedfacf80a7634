"""Wishes in, a running experiment out: in the record, which searches follow, then in the log."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from sightline.engine.connecting.index_and_model import matrix_of
from sightline.engine.connecting.open_models import OpenModels
from sightline.engine.embedding.model_registry import ModelReference, ModelRegistry
from sightline.engine.embedding.query_matrix import NotLinear
from sightline.engine.errors import Conflict, SettingsInvalid
from sightline.engine.serving.kept_matrices import KeptMatrices
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Experiment, Serves
from sightline.engine.vector_index.generations import check_name
from sightline.infra.commands.experiments.log import started_in
from sightline.infra.commands.experiments.place import ExperimentPlace
from sightline.infra.commands.experiments.running import running_of
from sightline.schemas.models import NAME_PATTERN, ExperimentStarted

_SALT_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentWishes:
    """What somebody wants to compare with what serves."""

    name: str
    generation: str | None
    """None: the one that serves, under another query model."""
    query_model: str | None
    share: float
    interleave: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedExperiment:
    """An experiment that runs from now on, and whether others know of it."""

    started: ExperimentStarted
    untold: str | None
    """Why `models.v1` does not know of it yet; None: it does."""


def start(place: ExperimentPlace, wishes: ExperimentWishes) -> StartedExperiment:
    """Let a part of the actors be answered by something else.

    Raises:
        Conflict: one runs, there was one of that name, or the treatment may not serve.
        NotFound: there is no such generation, or no such model.
        SettingsInvalid: a name is none, or the model cannot be run here.
        PartUnavailable: store or log did not answer before it was started, or the store did not
            meanwhile: `report` tells whether it runs.
    """
    _refuse_no_names(wishes)
    _refuse_used_name(place, wishes.name)
    query_model = _model(place, wishes.query_model)
    salt = f"{wishes.name}.{secrets.token_hex(_SALT_BYTES)}"
    now = place.clock.now()
    matrices, models = KeptMatrices.of(place.settings, place.store), OpenModels(place.settings)

    def step(state: ServingState) -> ServingState:
        treatment = Serves(
            generation=wishes.generation or state.serves.generation,
            query_model=query_model,
        )
        _must_rank(matrices, models, state, treatment)
        experiment = Experiment(
            name=wishes.name,
            treatment=treatment,
            share=wishes.share,
            salt=salt,
            interleave=wishes.interleave,
            started_at=now,
        )
        return state.experiment_started(experiment, now, f"experiment {wishes.name}")

    started = running_of(place.record.change(step))
    assert started is not None  # noqa: S101 - it has just been started
    untold = place.tell(f"sightline experiment start {wishes.name}")
    return StartedExperiment(started=started, untold=untold)


def _refuse_no_names(wishes: ExperimentWishes) -> None:
    """Refuse what the record would not take as a name, in the words of who typed it."""
    if re.fullmatch(NAME_PATTERN, wishes.name) is None:
        raise SettingsInvalid(
            f"{wishes.name!r} is no name of an experiment: 1-64 of a-z 0-9 . _ -, "
            "a letter or digit first"
        )
    if wishes.generation is not None:
        check_name(wishes.generation)
    model = wishes.query_model
    if model is not None and ModelReference.parse(model).digest is None:
        raise SettingsInvalid(f"--query-model {model}: name its digest, too: NAME@DIGEST")


def _refuse_used_name(place: ExperimentPlace, name: str) -> None:
    """Refuse the name of an experiment that the record or the log remembers."""
    ran = {ended.experiment.name for ended in place.record.read().state.ended}
    if name in ran | {started.name for started in started_in(place.log())}:
        raise Conflict(
            f"there was an experiment {name}: figures are told apart by the name, so "
            "take another one"
        )


def _model(place: ExperimentPlace, text: str | None) -> str | None:
    """The model of the registry that is meant, `NAME@DIGEST`."""
    if text is None:
        return None
    wanted = ModelReference.parse(text)
    registry = ModelRegistry(place.store, place.settings.store.bucket)
    return str(ModelReference(wanted.name, registry.digest(wanted)))


def _must_rank(
    matrices: KeptMatrices, models: OpenModels, state: ServingState, treatment: Serves
) -> None:
    """Refuse what no process could serve: each would go on by what it has, and tell nobody."""
    if treatment.query_model is None:
        return
    known = state.generation(treatment.generation)
    found = matrix_of(matrices, models, known, treatment.query_model)
    if isinstance(found, NotLinear):
        raise Conflict(
            f"{treatment.query_model} cannot rank generation {treatment.generation} by its "
            f"queries alone: {found.reason}; fill a generation of it (`sightline reindex "
            f"{treatment.query_model}`) and try that"
        )
