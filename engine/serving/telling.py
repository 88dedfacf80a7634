"""Steps of what serves, told on `models.v1`: by their makers, or by who finds them untold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightline.engine.event_log.acknowledged import acknowledged
from sightline.engine.records import ProducerRecord
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import ServingStep
from sightline.schemas.envelope import Event
from sightline.schemas.models import ModelPromoted, ModelRolledBack
from sightline.schemas.topics import MODELS

if TYPE_CHECKING:
    from sightline.engine.ports import EventProducer

SOURCE = "urn:sightline:serving"
_MAX_REASON = 512


def event_of(state: ServingState) -> Event[ModelPromoted] | Event[ModelRolledBack] | None:
    """What the last step means for models of the registry; None: it was between none of them.

    Its id is a function of the step, so that it is one event however often it is told.
    """
    step = state.step
    if step is None:
        return None
    came, gone = state.model_of(state.serves), _model_left(state, step)
    if came is not None and (gone is None or not step.back):
        return _promoted(state, step, came, gone)
    return None if gone is None else _rolled_back(state, step, gone, came)


def tell(record: ServingRecord, producer: EventProducer, *, timeout_s: float) -> None:
    """Tell the log of the last step, unless it knows; a repeat is safe.

    Raises:
        PartUnavailable: log or store did not answer: whoever finds it untold tells it.
        NotFound, Unreadable: there is no record, or it cannot be read.
    """
    state = record.read().state
    if not state.untold:
        return
    event = event_of(state)
    if event is not None:
        sent = producer.append(ProducerRecord(MODELS.name, event.data.name, event.encode()))
        acknowledged(sent, timeout_s)
    record.change(lambda now: now.told() if now.step == state.step else now)


def _model_left(state: ServingState, step: ServingStep) -> str | None:
    if all(one.name != step.left.generation for one in state.generations):
        return None  # dropped meanwhile
    return state.model_of(step.left)


def _promoted(
    state: ServingState, step: ServingStep, came: str, gone: str | None
) -> Event[ModelPromoted]:
    name, digest = came.split("@")
    data = ModelPromoted(
        name=name,
        digest=digest,
        generation=state.serves.generation,
        replaced=_digest(gone),
        promoted_at=step.at,
    )
    return Event[ModelPromoted].of(data, event_id=_id(step, name), source=SOURCE, time=step.at)


def _rolled_back(
    state: ServingState, step: ServingStep, gone: str, came: str | None
) -> Event[ModelRolledBack]:
    name, digest = gone.split("@")
    data = ModelRolledBack(
        name=name,
        digest=digest,
        restored=_digest(came),
        generation=state.serves.generation,
        reason=step.reason[:_MAX_REASON],
        rolled_back_at=step.at,
    )
    return Event[ModelRolledBack].of(data, event_id=_id(step, name), source=SOURCE, time=step.at)


def _digest(reference: str | None) -> str | None:
    return None if reference is None else reference.split("@")[1]


def _id(step: ServingStep, name: str) -> str:
    return f"serves-{name}-{step.number}-{int(step.at.timestamp())}"
