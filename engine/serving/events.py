"""Steps of what serves in, the events that `models.v1` is to be told of them out.

Their ids follow from the steps, so that a step is one event however often it is told. What the
settings name has no name in the registry, and so no event.
"""

from __future__ import annotations

from datetime import datetime

from sightline.engine.serving.values import Experiment, KnownGeneration, ServingStep, UntoldEvent
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.models import (
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


def of_experiment_end(
    experiment: Experiment | None, now: datetime, reason: str
) -> tuple[UntoldEvent, ...]:
    """The end of an experiment that nobody stopped: it came to nothing."""
    if experiment is None:
        return ()
    stopped = ExperimentStopped(
        name=experiment.name, finding="incomplete", says=reason_of(reason), stopped_at=now
    )
    return (_untold(stopped, f"experiment-stopped-{experiment.salt}", now),)


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


def _digest(reference: str | None) -> str | None:
    return None if reference is None else reference.split("@")[1]


def _number(step: ServingStep) -> str:
    return f"{step.number}-{int(step.at.timestamp())}"
