"""Steps of what serves in, the events that `models.v1` is to be told of them out.

Their ids follow from the steps, so that a step is one event however often it is told. What the
settings name has no name in the registry, and so no event.
"""

from __future__ import annotations

from datetime import datetime

from sightline.engine.serving.values import (
    EndedExperiment,
    Experiment,
    KnownGeneration,
    Serves,
    ServingStep,
    UntoldEvent,
)
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.fields import Conclusion
from sightline.schemas.models import (
    AnsweredBy,
    ExperimentStarted,
    ExperimentStopped,
    GenerationNoted,
    ModelPromoted,
    ModelRolledBack,
    reason_of,
)

SOURCE = "urn:sightline:serving"


def of_step(
    step: ServingStep, *, generation: str, came: str | None, gone: str | None
) -> tuple[UntoldEvent, ...]:
    """What a change of what serves means for models of the registry.

    Args:
        step: the change.
        generation: that serves after it.
        came: the model that answers after it, `NAME@DIGEST`; None: in no registry.
        gone: the model that answered before.
    """
    if came is not None and (gone is None or not step.back):
        name, digest = came.split("@")
        promoted = ModelPromoted(
            name=name,
            digest=digest,
            generation=generation,
            replaced=_digest(gone),
            promoted_at=step.at,
        )
        return (_untold(promoted, f"serves-{name}-{_number(step)}", step.at),)
    if gone is None:
        return ()
    name, digest = gone.split("@")
    rolled_back = ModelRolledBack(
        name=name,
        digest=digest,
        restored=_digest(came),
        generation=generation,
        reason=reason_of(step.reason),
        rolled_back_at=step.at,
    )
    return (_untold(rolled_back, f"serves-{name}-{_number(step)}", step.at),)


def started_of(experiment: Experiment, control: Serves) -> ExperimentStarted:
    """An experiment and what served beside it, as the event of its start tells them."""
    return ExperimentStarted(
        name=experiment.name,
        control=_answered_by(control),
        treatment=_answered_by(experiment.treatment),
        share=experiment.share,
        salt=experiment.salt,
        interleave=experiment.interleave,
        started_at=experiment.started_at,
    )


def of_experiment_start(experiment: Experiment, control: Serves) -> tuple[UntoldEvent, ...]:
    """The start of an experiment beside what serves."""
    event_id = f"experiment-started-{experiment.salt}"
    return (_untold(started_of(experiment, control), event_id, experiment.started_at),)


def of_experiment_end(
    experiment: Experiment | None,
    now: datetime,
    says: str,
    finding: str = Conclusion.INCOMPLETE,
    again: str = "",
) -> tuple[UntoldEvent, ...]:
    """The end of an experiment; nobody has read its report yet where it is `incomplete`."""
    if experiment is None:
        return ()
    stopped = ExperimentStopped(
        name=experiment.name, finding=finding, says=reason_of(says), stopped_at=now
    )
    return (_untold(stopped, f"experiment-stopped-{experiment.salt}{again}", now),)


def with_finding(
    waiting: tuple[UntoldEvent, ...], ended: EndedExperiment, finding: str, says: str
) -> tuple[UntoldEvent, ...]:
    """The events that wait, of which the end of an experiment has its finding now.

    Where the log was told of the end meanwhile, it is told of the finding by another event.
    """
    experiment, at = ended.experiment, ended.ended_at
    [end] = of_experiment_end(experiment, at, says, finding)
    if any(one.id == end.id for one in waiting):
        return tuple(end if one.id == end.id else one for one in waiting)
    return waiting + of_experiment_end(experiment, at, says, finding, again="-found")


def of_generation(
    known: KnownGeneration, step: str, now: datetime, says: str
) -> tuple[UntoldEvent, ...]:
    """What became of a generation: `made`, `proven`, `refused`, `unread` or `dropped`."""
    if known.model is None:
        return ()
    name, digest = known.model.split("@")
    noted = GenerationNoted(
        name=name,
        digest=digest,
        generation=known.name,
        step=step,
        says=reason_of(says),
        noted_at=now,
    )
    event_id = f"generation-{known.name}-{step}-{int(now.timestamp())}"
    return (_untold(noted, event_id, now),)


def _untold(data: EventData, event_id: str, at: datetime) -> UntoldEvent:
    event = Event[EventData].of(data, event_id=event_id, source=SOURCE, time=at)
    return UntoldEvent(id=event_id, key=data.subject, at=at, text=event.encode().decode())


def _answered_by(serves: Serves) -> AnsweredBy:
    return AnsweredBy(generation=serves.generation, query_model=serves.query_model)


def _digest(reference: str | None) -> str | None:
    return None if reference is None else reference.split("@")[1]


def _number(step: ServingStep) -> str:
    return f"{step.number}-{int(step.at.timestamp())}"
