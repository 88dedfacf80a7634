"""Steps of what serves, told on `models.v1`: by their makers, or by who finds them untold."""

from __future__ import annotations

from sightline.engine.event_log.acknowledged import acknowledged
from sightline.engine.ports import EventProducer
from sightline.engine.records import ProducerRecord
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.values import UntoldEvent
from sightline.schemas.topics import MODELS


def tell(record: ServingRecord, producer: EventProducer, *, timeout_s: float) -> None:
    """Tell the log of every step that it does not know, in their order; a repeat is safe.

    Raises:
        PartUnavailable: log or store did not answer: whoever finds a step untold tells it.
        NotFound, Unreadable: there is no record, or it cannot be read.
    """
    told = list[UntoldEvent]()
    for untold in record.read().state.to_tell:
        sent = producer.append(ProducerRecord(MODELS.name, untold.key, untold.text.encode()))
        acknowledged(sent, timeout_s)
        told.append(untold)
    if told:
        record.change(lambda state: state.told(told))
