"""The record of what serves, as a process finds it: begun by the first, checked by every one."""

from __future__ import annotations

from sightline.engine.connecting.open_models import OpenModels, generation_spec
from sightline.engine.errors import Conflict, GenerationMismatch
from sightline.engine.ports import Clock, VectorIndex
from sightline.engine.serving.record import ServingRecord, StoredServing
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration
from sightline.engine.settings import Settings
from sightline.engine.vector_index.generations import Generations, check_same_space, serving_name


def begun(
    record: ServingRecord,
    generations: Generations[VectorIndex],
    settings: Settings,
    models: OpenModels,
    clock: Clock,
) -> StoredServing:
    """The record, which names generations of this index and models that the settings agree to.

    Raises:
        GenerationMismatch: what should serve is not there, or other settings made it.
        PartUnavailable: store or index did not answer.
    """
    found = record.find()
    here = generations.names()
    if found is None or (
        len(found.state.generations) == 1 and found.state.serving.name not in here
    ):
        _begin(record, found, _first(generations, settings, models, clock))
        found = record.read()
    missing = [one for one in sorted(found.state.in_service) if one not in generations.names()]
    if missing:
        raise GenerationMismatch(
            f"index: generation {missing[0]} should serve and is not there; restore the index from "
            "a backup, or go back to the settings of where it is"
        )
    _refuse_other_settings(found.state, generations, settings, models)
    return found


def _begin(record: ServingRecord, found: StoredServing | None, first: ServingState) -> None:
    try:
        if found is None:
            record.begin(first)
        else:  # of an index elsewhere that had no other generation either
            number = found.state.number + 1
            record.replace(found, first.model_copy(update={"number": number}))
    except Conflict:
        return  # another process was faster


def _first(
    generations: Generations[VectorIndex], settings: Settings, models: OpenModels, clock: Clock
) -> ServingState:
    """The generation that the index serves, made from the settings where there is none."""
    embedder, now = models.embedder(None), clock.now()
    known = KnownGeneration(
        name=serving_name(generations, generation_spec(settings, embedder)),
        model=models.named,
        model_digest=embedder.digest,
        group=settings.worker.group,
        stage=GenerationStage.READY,
        made_at=now,
    )
    return ServingState.first(known, now)


def _refuse_other_settings(
    state: ServingState,
    generations: Generations[VectorIndex],
    settings: Settings,
    models: OpenModels,
) -> None:
    """What the settings made must be opened with the settings that made it."""
    for known in state.generations:
        if known.model is None:
            stored = generations.spec(known.name)
            if stored is not None:
                check_same_space(stored, generation_spec(settings, models.embedder(None)))
