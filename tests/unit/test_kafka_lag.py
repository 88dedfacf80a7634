"""Lag on a broker whose faults the test decides: what cannot be read is no end of the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from confluent_kafka import KafkaError

from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import KafkaSettings
from sightline.schemas.topics import IMAGES
from tests.broker_faults import FaultyBroker, Request
from tests.patience import patient

TOPIC = IMAGES.name


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    """A broker with one topic of one partition."""
    broker = FaultyBroker([IMAGES], 1)
    yield broker
    broker.close()


def test_a_record_that_cannot_be_read_is_no_end_of_the_log(broker: FaultyBroker) -> None:
    """Else a group without the right to read would seem to have nothing left to do."""
    settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    with closing(KafkaEventProducer(settings)) as producer:
        producer.append(ProducerRecord(TOPIC, "cat", b"x")).result(patient(10))
    broker.refuse(Request.FETCH, *[KafkaError.TOPIC_AUTHORIZATION_FAILED] * 100)
    with pytest.raises(PartUnavailable, match="reading lag"):
        KafkaEventLog(settings).lag("worker", [TOPIC])
