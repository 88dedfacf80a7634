"""The Kafka producer on a broker whose faults the test decides: in the log, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import KafkaError

from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.kafka import KafkaEventProducer, clients, read_topics
from sightline.engine.event_log.kafka.config import Config, producer_config
from sightline.engine.event_log.kafka.sending import stamp_ms_of
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import KafkaSettings
from sightline.schemas.topics import IMAGES
from tests.broker_faults import FaultyBroker, Request
from tests.patience import patient

TOPIC = IMAGES.name
MESSAGES = 10
IN_FLIGHT = "max.in.flight.requests.per.connection"


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    """A broker with one topic of one partition."""
    broker = FaultyBroker([IMAGES], 1)
    yield broker
    broker.close()


@pytest.fixture
def settings(broker: FaultyBroker) -> KafkaSettings:
    """How to reach it."""
    return KafkaSettings(bootstrap_servers=broker.bootstrap_servers, delivery_timeout_s=30.0)


def refuse_the_first_of_many(broker: FaultyBroker, settings: KafkaSettings) -> list[bool]:
    """Append one message, then ten, a request each, to a partition that wakes up between two."""
    producer = KafkaEventProducer(settings)
    producer.append(ProducerRecord(TOPIC, "cat", b"first")).result(patient(10))
    broker.delay(100)
    broker.refuse(Request.PRODUCE, KafkaError.NOT_LEADER_FOR_PARTITION)
    futures = [
        producer.append(ProducerRecord(TOPIC, "cat", str(n).encode())) for n in range(MESSAGES)
    ]
    producer.close()
    broker.delay(0)
    return [future.exception() is None for future in futures]


def with_config(monkeypatch: pytest.MonkeyPatch, **changed: int) -> None:
    """One message to a request, and what else the test changes."""

    def config(settings: KafkaSettings) -> Config:
        return producer_config(settings) | {"batch.num.messages": 1} | changed

    monkeypatch.setattr(clients, "producer_config", config)


def test_what_a_waking_partition_refused_is_not_lost(
    broker: FaultyBroker, settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first batch that is refused for a moment is appended first; every one is acknowledged."""
    with_config(monkeypatch)
    assert all(refuse_the_first_of_many(broker, settings))
    found = [message.value for message in read_topics(settings, [TOPIC])]
    assert found == [b"first", *(str(n).encode() for n in range(MESSAGES))]


def test_an_acknowledgement_without_a_place_is_none(
    broker: FaultyBroker, settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With five in flight librdkafka believes the refused batch appended: told as an error."""
    with_config(monkeypatch, **{IN_FLIGHT: 5})
    acknowledged = refuse_the_first_of_many(broker, settings)
    found = {message.value for message in read_topics(settings, [TOPIC])}
    assert acknowledged == [str(n).encode() in found for n in range(MESSAGES)]
    assert not acknowledged[0]


def test_nor_does_it_count_in_a_batch(
    broker: FaultyBroker, settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is awaited together fails together: whoever sent it sends it again."""
    with_config(monkeypatch, **{IN_FLIGHT: 5})
    with closing(KafkaEventProducer(settings)) as producer:
        producer.append(ProducerRecord(TOPIC, "cat", b"first")).result(patient(10))
        broker.delay(100)
        broker.refuse(Request.PRODUCE, KafkaError.NOT_LEADER_FOR_PARTITION)
        batch = producer.batch()
        for n in range(MESSAGES):
            batch.append(ProducerRecord(TOPIC, "cat", str(n).encode()))
        ended = batch.seal()
    assert isinstance(ended.exception(), PartUnavailable)


@pytest.mark.parametrize("milliseconds", [-1, 0, 1])
def test_an_instant_that_librdkafka_takes_for_now_is_not_handed_to_it(milliseconds: int) -> None:
    """A record of 1970 stays one: as one of today it would close what its partition waits for."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    assert stamp_ms_of(ProducerRecord(TOPIC, "cat", b"x", timestamp=moment)) == 1
