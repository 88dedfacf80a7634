"""What the log knows of experiments, and is told of them (`models.v1`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

from sightline.engine.connecting.connections import open_log_producer
from sightline.engine.ports import EventLog
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import Settings
from sightline.infra.commands.operator_act import operator_act
from sightline.schemas.envelope import ContractError, Event, EventData
from sightline.schemas.models import ExperimentStarted, ExperimentStopped
from sightline.schemas.registry import decode
from sightline.schemas.topics import MODELS

SOURCE = "urn:sightline:experiment"


def started_in(log: EventLog) -> Iterator[ExperimentStarted]:
    """Each experiment whose start the log still holds, the oldest first.

    Raises:
        PartUnavailable: the log did not answer.
    """
    for message in log.read([MODELS.name]):
        try:
            data = decode(message.value).data
        except ContractError:
            continue
        if isinstance(data, ExperimentStarted):
            yield data


def tell(
    settings: Settings, data: ExperimentStarted | ExperimentStopped, *, event_id: str, now: datetime
) -> None:
    """Append that an experiment was started or stopped, and who did that; wait until it is there.

    Raises:
        PartUnavailable: the log did not take it; a repeat is safe.
    """
    verb = "start" if isinstance(data, ExperimentStarted) else "stop"
    command = f"sightline experiment {verb} {data.name}"
    event = Event[EventData].of(data, event_id=event_id, source=SOURCE, time=now)
    with closing(open_log_producer(settings)) as producer:
        producer.append(ProducerRecord(MODELS.name, data.name, event.encode()))
        producer.append(operator_act(command, now))
        producer.flush(settings.kafka.delivery_timeout_s)
