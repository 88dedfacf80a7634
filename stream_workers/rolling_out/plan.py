"""What is known of a released model in, what is to be done next out; nothing else decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, Serves
from sightline.engine.settings import RolloutSettings
from sightline.schemas.fields import Conclusion
from sightline.stream_workers.rolling_out.state import (
    ExperimentFinding,
    RolloutOutcome,
    RolloutUnderWay,
)

DECIDES = frozenset(Conclusion) - {Conclusion.TOO_LITTLE}
"""What more time does not change."""
FORBIDS = frozenset({Conclusion.WORSE, Conclusion.VOID})
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
    """Start the experiment, or note that it runs. Its treatment is what is to serve now."""
    CONCLUDE = "conclude"
    """Note what the experiment came to, before it ends."""
    STOP = "stop"
    BEGIN_ANEW = "begin anew"
    """Let another experiment follow one whose beginning the log forgot."""
    MEASURE = "measure"
    """Note the figures of what serves, before it goes."""
    SWITCH = "switch"
    """By a matrix on the query at first, where its own generation may not serve yet."""
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
    to: Serves | None = None
    """What is to serve, or to be compared with what does."""


_WAIT = RolloutNext(RolloutStep.WAIT)


def next_rollout_step(seen: RolloutObserved, settings: RolloutSettings) -> RolloutNext:
    """What is to be done; the same for equal arguments, whoever asks."""
    model = seen.under_way
    if model is None:
        return _whether_to_begin(seen)
    if model.switched_at is not None:
        return _watch(seen, model, model.switched_at, settings)
    if model.generation is None:
        return RolloutNext(RolloutStep.INDEX)
    if serves(seen.serving, model):
        return RolloutNext(RolloutStep.NOTE_SWITCH)
    return _bring(seen, model, model.generation, settings)


def serves(state: ServingState, model: RolloutUnderWay) -> bool:
    """Whether a model answers, on its own vectors or by a matrix on the query.

    Its generation may be in the record under another name of the same vectors.
    """
    now = state.serves
    return _model_of(state, now) == model.model or (
        now.query_model is None and now.generation == model.generation
    )


def experiment_name(model: RolloutUnderWay) -> str:
    """What a model's experiment is called; one that is begun anew is another one."""
    name, _, digest = model.model.partition("@")
    again = "" if model.attempt == 1 else f"-{model.attempt}"
    return f"{name[:45]}-{digest[:12]}{again}"


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
    """What is missing until the model may serve: on its own vectors, or by a matrix before."""
    stage = _stage_of(seen.serving, generation)
    if stage is None:
        return _left(f"generation {generation} was dropped")
    if stage is GenerationStage.RETIRED:
        return _left(f"generation {generation} served meanwhile, and was left")
    if stage is GenerationStage.READY and not model.proven:
        return RolloutNext(RolloutStep.PROVEN)
    to = _may_serve(seen.serving, model, generation)
    if to is None:
        return (
            RolloutNext(RolloutStep.END, RolloutOutcome.REFUSED, seen.differs)
            if seen.differs
            else _WAIT
        )
    return _experiment(seen, model, settings, to) or _into_service(seen, model, to)


def _stage_of(state: ServingState, generation: str | None) -> GenerationStage | None:
    return next((one.stage for one in state.generations if one.name == generation), None)


def _may_serve(state: ServingState, model: RolloutUnderWay, generation: str) -> Serves | None:
    """By what the model may answer now: its own vectors before a matrix on those that serve."""
    if _stage_of(state, generation) is not GenerationStage.FILLING:
        return Serves(generation=generation)
    by_matrix = model.at_once
    usable = by_matrix is not None and by_matrix.generation == state.serves.generation
    return by_matrix if usable else None


def _experiment(
    seen: RolloutObserved, model: RolloutUnderWay, settings: RolloutSettings, to: Serves
) -> RolloutNext | None:
    """What is missing until the experiment is over; None: nothing, and nothing speaks against."""
    if model.finding is not None:
        return _concluded(seen, model, model.finding, settings)
    running = seen.serving.experiment
    ours = running is not None and running.name == experiment_name(model)
    if model.experiment is not None:
        if not ours:
            return _left("somebody ended its experiment")
        return _until_decided(seen, model.experiment.started_at, settings)
    if ours or (running is None and settings.experiment_share > 0):
        return RolloutNext(RolloutStep.COMPARE, to=to)
    return None if running is None else _WAIT


def _concluded(
    seen: RolloutObserved,
    model: RolloutUnderWay,
    finding: ExperimentFinding,
    settings: RolloutSettings,
) -> RolloutNext | None:
    if not model.stopped:
        return RolloutNext(RolloutStep.STOP)
    if finding.finding == Conclusion.INCOMPLETE and not _is_over(seen, model.began_at, settings):
        return RolloutNext(RolloutStep.BEGIN_ANEW)
    if finding.finding in FORBIDS:
        return RolloutNext(RolloutStep.END, RolloutOutcome.WORSE, finding.says)
    return None


def _until_decided(
    seen: RolloutObserved, began: datetime, settings: RolloutSettings
) -> RolloutNext:
    if seen.finding is None:
        return _WAIT
    decided = seen.finding.finding in DECIDES
    over = _is_over(seen, began, settings)
    return RolloutNext(RolloutStep.CONCLUDE) if over or decided else _WAIT


def _is_over(seen: RolloutObserved, began: datetime, settings: RolloutSettings) -> bool:
    """Whether experiments that began then have taken as long as they may."""
    return seen.now >= began + timedelta(days=settings.experiment_max_days)


def _into_service(seen: RolloutObserved, model: RolloutUnderWay, to: Serves) -> RolloutNext:
    if seen.serving.experiment is not None:
        return _WAIT
    return (
        RolloutNext(RolloutStep.MEASURE)
        if model.before is None
        else RolloutNext(RolloutStep.SWITCH, to=to)
    )


def _watch(
    seen: RolloutObserved, model: RolloutUnderWay, since: datetime, settings: RolloutSettings
) -> RolloutNext:
    """What is to be done with a model that was switched to."""
    if not serves(seen.serving, model):
        return _gone(seen.serving, model)
    if model.fallen:
        if seen.serving.before:
            return RolloutNext(RolloutStep.ROLL_BACK)
        return RolloutNext(
            RolloutStep.END, RolloutOutcome.FAILED, f"there is no way back: {model.fallen}"
        )
    if seen.fallen:
        return RolloutNext(RolloutStep.CONDEMN)
    return _complete(seen, model) or _watched(seen, since, settings)


def _complete(seen: RolloutObserved, model: RolloutUnderWay) -> RolloutNext | None:
    """What brings a model that serves by a matrix onto its own vectors; None: nothing now."""
    own = Serves(generation=model.generation or "")
    stage = _stage_of(seen.serving, own.generation)
    if stage is GenerationStage.READY and not model.proven:
        return RolloutNext(RolloutStep.PROVEN)
    if stage is GenerationStage.FILLING or seen.serving.serves == own:
        return None
    if stage is not GenerationStage.READY:
        return _left(f"generation {own.generation} was dropped or left; it serves by a matrix")
    return RolloutNext(RolloutStep.SWITCH, to=own) if seen.serving.experiment is None else _WAIT


def _watched(seen: RolloutObserved, since: datetime, settings: RolloutSettings) -> RolloutNext:
    """It is watched for a while after each switch, and until it needs no matrix any more."""
    step, by_matrix = seen.serving.step, seen.serving.serves.query_model is not None
    last = since if step is None else max(since, step.at)
    if seen.now < last + timedelta(seconds=settings.watch_s):
        return _WAIT
    if not by_matrix:
        return RolloutNext(
            RolloutStep.END, RolloutOutcome.SERVES, "nothing spoke against it while it was watched"
        )
    if not seen.differs:
        return _WAIT
    says = f"it serves by a matrix on the query, since its generation differs: {seen.differs}"
    return RolloutNext(RolloutStep.END, RolloutOutcome.REFUSED, says)


def _gone(state: ServingState, model: RolloutUnderWay) -> RolloutNext:
    if model.fallen and state.step is not None and state.step.back:
        return RolloutNext(RolloutStep.END, RolloutOutcome.ROLLED_BACK, model.fallen)
    return _left("somebody let something else serve")


def _left(says: str) -> RolloutNext:
    return RolloutNext(RolloutStep.END, RolloutOutcome.LEFT, says)
