"""What is known of a released model in, what is to be done next out; nothing else decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, Serves
from sightline.engine.settings import RolloutSettings
from sightline.stream_workers.rolling_out.state import (
    ExperimentFinding,
    RolloutOutcome,
    RolloutUnderWay,
)

DECIDES = frozenset({"better", "worse", "equal", "void"})
"""What an experiment may come to that more time does not change."""
FORBIDS = frozenset({"worse", "void"})
"""What a model does not come into service with."""


class RolloutStep(StrEnum):
    """One thing to do; each may be done again after a kill."""

    WAIT = "wait"
    BEGIN = "begin"
    INDEX = "index"
    """Ask for a generation of the model, which others fill and prove."""
    PROVEN = "proven"
    """Tell that the generation may serve."""
    COMPARE = "compare"
    """Start the experiment, or note that it runs."""
    CONCLUDE = "conclude"
    """Note what the experiment came to, before it ends."""
    STOP = "stop"
    MEASURE = "measure"
    """Note the figures of what serves, before it goes."""
    SWITCH = "switch"
    NOTE_SWITCH = "note switch"
    CONDEMN = "condemn"
    """Note why it must go, before it goes."""
    ROLL_BACK = "roll back"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutObserved:
    """Everything that the decision on the next step follows from."""

    now: datetime
    serving: ServingState
    """What serves, and which generations there are."""
    newest: str | None = None
    """The newest release of the registry, `NAME@DIGEST`; None: there is none."""
    done_with: frozenset[str] = frozenset()
    """Models that have had their turn."""
    under_way: RolloutUnderWay | None = None
    differs: str = ""
    """Why the generation may not serve, as the comparison says; empty: nothing is known of it."""
    finding: ExperimentFinding | None = None
    """What the experiment that runs has come to so far."""
    fallen: str = ""
    """Why the model that serves must go, by its figures; empty: nothing speaks against it."""


@dataclass(frozen=True, slots=True)
class RolloutNext:
    """A step; an end says what became of the model, and why."""

    step: RolloutStep
    outcome: RolloutOutcome | None = None
    says: str = ""


_WAIT = RolloutNext(RolloutStep.WAIT)


def next_step(seen: RolloutObserved, settings: RolloutSettings) -> RolloutNext:
    """What is to be done; the same for equal arguments, whoever asks."""
    model = seen.under_way
    if model is None:
        return _whether_to_begin(seen)
    if model.switched_at is not None:
        return _watch(seen, model, model.switched_at, settings)
    if model.generation is None:
        return RolloutNext(RolloutStep.INDEX)
    if seen.serving.serves.generation == model.generation:
        return RolloutNext(RolloutStep.NOTE_SWITCH)
    return _bring(seen, model, model.generation, settings)


def experiment_name(model: str) -> str:
    """What a model's experiment is called; no model has two."""
    name, _, digest = model.partition("@")
    return f"{name[:50]}-{digest[:12]}"


def _whether_to_begin(seen: RolloutObserved) -> RolloutNext:
    model, state = seen.newest, seen.serving
    if model is None or model in seen.done_with or model == _model_of(state, state.serves):
        return _WAIT
    if _was_left(state, model):
        return _left("it served before, and was left")
    return RolloutNext(RolloutStep.BEGIN)


def _was_left(state: ServingState, model: str) -> bool:
    retired = any(
        one.model == model and one.stage is GenerationStage.RETIRED for one in state.generations
    )
    step = state.step
    return retired or (step is not None and step.back and _model_of(state, step.left) == model)


def _model_of(state: ServingState, serves: Serves) -> str | None:
    models = {one.name: one.model for one in state.generations}
    return serves.query_model or models.get(serves.generation)


def _bring(
    seen: RolloutObserved, model: RolloutUnderWay, generation: str, settings: RolloutSettings
) -> RolloutNext:
    """What is missing until the generation may serve."""
    stages = {one.name: one.stage for one in seen.serving.generations}
    if generation not in stages:
        return _left(f"generation {generation} was dropped")
    if stages[generation] is GenerationStage.RETIRED:
        return _left(f"generation {generation} served meanwhile, and was left")
    if stages[generation] is GenerationStage.FILLING:
        return (
            RolloutNext(RolloutStep.END, RolloutOutcome.REFUSED, seen.differs)
            if seen.differs
            else _WAIT
        )
    if not model.proven:
        return RolloutNext(RolloutStep.PROVEN)
    return _experiment(seen, model, settings) or _into_service(seen, model)


def _experiment(
    seen: RolloutObserved, model: RolloutUnderWay, settings: RolloutSettings
) -> RolloutNext | None:
    """What is missing until the experiment is over; None: nothing, and nothing speaks against."""
    if model.finding is not None:
        return _concluded(model, model.finding)
    running = seen.serving.experiment
    ours = running is not None and running.name == experiment_name(model.model)
    if model.experiment is not None:
        if not ours:
            return _left("somebody ended its experiment")
        return _until_decided(seen, model.experiment.started_at, settings)
    if ours or (running is None and settings.experiment_share > 0):
        return RolloutNext(RolloutStep.COMPARE)
    return None if running is None else _WAIT


def _concluded(model: RolloutUnderWay, finding: ExperimentFinding) -> RolloutNext | None:
    if not model.stopped:
        return RolloutNext(RolloutStep.STOP)
    if finding.finding in FORBIDS:
        return RolloutNext(RolloutStep.END, RolloutOutcome.WORSE, finding.says)
    return None


def _until_decided(
    seen: RolloutObserved, began: datetime, settings: RolloutSettings
) -> RolloutNext:
    over = seen.now >= began + timedelta(days=settings.experiment_max_days)
    decided = seen.finding is not None and seen.finding.finding in DECIDES
    return (
        RolloutNext(RolloutStep.CONCLUDE)
        if seen.finding is not None and (over or decided)
        else _WAIT
    )


def _into_service(seen: RolloutObserved, model: RolloutUnderWay) -> RolloutNext:
    if seen.serving.experiment is not None:
        return _WAIT
    return (
        RolloutNext(RolloutStep.MEASURE)
        if model.before is None
        else RolloutNext(RolloutStep.SWITCH)
    )


def _watch(
    seen: RolloutObserved, model: RolloutUnderWay, since: datetime, settings: RolloutSettings
) -> RolloutNext:
    """What is to be done with a model that was switched to."""
    if seen.serving.serves.generation != model.generation:
        return _gone(seen.serving, model)
    if model.fallen:
        if seen.serving.before:
            return RolloutNext(RolloutStep.ROLL_BACK)
        return RolloutNext(
            RolloutStep.END, RolloutOutcome.FAILED, f"there is no way back: {model.fallen}"
        )
    if seen.fallen:
        return RolloutNext(RolloutStep.CONDEMN)
    if seen.now < since + timedelta(seconds=settings.watch_s):
        return _WAIT
    return RolloutNext(
        RolloutStep.END, RolloutOutcome.SERVES, "nothing spoke against it while it was watched"
    )


def _gone(state: ServingState, model: RolloutUnderWay) -> RolloutNext:
    if model.fallen and state.step is not None and state.step.back:
        return RolloutNext(RolloutStep.END, RolloutOutcome.ROLLED_BACK, model.fallen)
    return _left("somebody let something else serve")


def _left(says: str) -> RolloutNext:
    return RolloutNext(RolloutStep.END, RolloutOutcome.LEFT, says)
