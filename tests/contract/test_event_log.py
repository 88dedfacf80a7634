"""One suite over both brokers: Apache Kafka, and librdkafka's in-process broker."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Literal

import pytest

from sightline.engine.errors import Overloaded, PartUnavailable, TooLarge
from sightline.engine.event_log.embedded.broker import InProcessBroker
from sightline.engine.event_log.kafka import (
    KafkaEventConsumer,
    KafkaEventProducer,
    read_topics,
)
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.records import Message, TopicPartition
from sightline.engine.settings import KafkaSettings
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL
from tests.waiting import eventually

TOPICS = (IMAGES, IMAGES_BACKFILL)
TOPIC = IMAGES.name


class Listener:
    """Notes what a consumer was given and what was taken."""

    def __init__(self) -> None:
        self.held: set[TopicPartition] = set()
        self.on_revoke: Callable[[Collection[TopicPartition]], None] = lambda _: None

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`."""
        self.held |= set(partitions)

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`."""
        self.on_revoke(partitions)
        self.held -= set(partitions)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`."""
        self.held -= set(partitions)


@pytest.fixture(params=["kafka", "in-process"])
def settings(request: pytest.FixtureRequest) -> Iterator[KafkaSettings]:
    """A corner of a broker with the image topics, three partitions each."""
    if request.param == "kafka":
        real: KafkaSettings = request.getfixturevalue("kafka_settings")
        KafkaTopics(real).ensure(TOPICS)
        yield real
        return
    prefix = f"t{uuid.uuid4().hex[:8]}."
    broker = InProcessBroker(TOPICS, 3, prefix=prefix)
    try:
        yield KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, session_timeout_s=6
        )
    finally:
        broker.close()


@pytest.fixture
def producer(settings: KafkaSettings) -> Iterator[KafkaEventProducer]:
    """A producer that is closed after the test."""
    producer = KafkaEventProducer(settings)
    producer.warm_up([TOPIC])
    yield producer
    producer.close()


def drain(consumer: KafkaEventConsumer, count: int) -> list[Message]:
    """The next `count` messages."""
    got: list[Message] = []
    eventually(
        lambda: got.extend(consumer.poll(100, 0.2)) or len(got) >= count,  # type: ignore[func-returns-value]
        timeout_s=30,
        reason=f"{count} messages",
    )
    return got


@pytest.fixture
def consume(settings: KafkaSettings) -> Iterator[Callable[..., KafkaEventConsumer]]:
    """Makes subscribed consumers that are closed after the test."""
    opened: list[KafkaEventConsumer] = []

    def make(group: str = "readers", listener: Listener | None = None) -> KafkaEventConsumer:
        consumer = KafkaEventConsumer(settings, group=group)
        opened.append(consumer)
        consumer.subscribe([TOPIC], listener or Listener())
        return consumer

    yield make
    for consumer in opened:
        consumer.close()


def test_an_acknowledgement_says_where_and_when(producer: KafkaEventProducer) -> None:
    """The future carries the unprefixed topic, the place and the log's time."""
    before = datetime.now(UTC)
    message = producer.append(TOPIC, "cat", b"1", headers=[("traceparent", b"x")]).result(15)
    assert (message.topic, message.offset, message.value) == (TOPIC, 0, b"1")
    assert message.partition in range(3)
    assert abs((message.timestamp - before).total_seconds()) < 60


def test_what_was_appended_is_read_back(
    producer: KafkaEventProducer, consume: Callable[..., KafkaEventConsumer]
) -> None:
    """Key, value, headers, nulls and time survive the trip; the topic comes back unprefixed."""
    sent = producer.append(TOPIC, "cat", b"\x00\xff", headers=[("a", b"1"), ("a", b"2")]).result(15)
    null = producer.append(TOPIC, "cat", None).result(15)
    first, second = drain(consume(), 2)
    assert first == sent
    assert (second.offset, second.value) == (null.offset, None)


def test_one_key_keeps_its_order(
    producer: KafkaEventProducer, consume: Callable[..., KafkaEventConsumer]
) -> None:
    """Messages of one key lie in one partition in the order of their appends."""
    futures = [producer.append(TOPIC, f"k{n % 5}", str(n).encode()) for n in range(200)]
    producer.flush(15)
    assert all(future.done() for future in futures)
    per_key: dict[bytes | None, list[int]] = {}
    for message in drain(consume(), 200):
        per_key.setdefault(message.key, []).append(int(message.value or b""))
    assert per_key == {f"k{k}".encode(): list(range(k, 200, 5)) for k in range(5)}


def test_a_group_goes_on_where_it_committed(
    producer: KafkaEventProducer, consume: Callable[..., KafkaEventConsumer]
) -> None:
    """Only what was committed is skipped by the group's next member; the rest comes again."""
    for n in range(10):
        producer.append(TOPIC, "cat", str(n).encode())
    producer.flush(15)
    first = consume()
    at = drain(first, 10)[0].topic_partition
    first.commit({at: 4})
    first.close()
    assert [message.offset for message in drain(consume(), 6)] == [4, 5, 6, 7, 8, 9]


def test_two_members_share_the_partitions(consume: Callable[..., KafkaEventConsumer]) -> None:
    """A second member takes over some partitions; the listener hears of it before they go."""
    one, other = Listener(), Listener()
    first = consume(listener=one)
    eventually(lambda: first.poll(10, 0.1) or len(one.held) == 3, timeout_s=30)
    told: list[TopicPartition] = []
    one.on_revoke = told.extend
    second = consume(listener=other)
    eventually(
        lambda: (
            (first.poll(10, 0.1), second.poll(10, 0.1))
            and one.held
            and other.held
            and len(one.held | other.held) == 3
        ),
        timeout_s=60,
        reason="both hold some",
    )
    assert not one.held & other.held
    assert set(told) >= other.held


def test_a_paused_partition_waits(
    producer: KafkaEventProducer, consume: Callable[..., KafkaEventConsumer]
) -> None:
    """Nothing comes from a paused partition; everything, in order, once it is resumed."""
    producer.append(TOPIC, "cat", b"0").result(15)
    consumer = consume()
    at = drain(consumer, 1)[0].topic_partition
    consumer.pause([at])
    consumer.pause([at])
    for n in range(1, 5):
        producer.append(TOPIC, "cat", str(n).encode())
    producer.flush(15)
    assert consumer.poll(10, 1.0) == []
    consumer.resume([at])
    assert [message.value for message in drain(consumer, 4)] == [b"1", b"2", b"3", b"4"]


def test_lag_is_what_is_left_to_read(
    producer: KafkaEventProducer, consume: Callable[..., KafkaEventConsumer]
) -> None:
    """Lag falls to 0 as messages are polled, and rises with new ones while paused."""
    consumer = consume()
    for n in range(5):
        producer.append(TOPIC, "cat", str(n).encode())
    at = drain(consumer, 5)[0].topic_partition
    eventually(lambda: consumer.poll(1, 0.1) or consumer.lag().get(at) == 0, timeout_s=15)
    assert set(consumer.lag().values()) == {0}


def test_a_message_over_the_bound_is_refused(producer: KafkaEventProducer) -> None:
    """A message that is larger than any topic allows ends as `TooLarge`; the next one passes."""
    with pytest.raises(TooLarge):
        producer.append(TOPIC, "cat", b"x" * 4_000_000).result(15)
    assert producer.append(TOPIC, "cat", b"y").result(15).value == b"y"


def test_a_batch_ends_when_all_of_it_is_acknowledged(
    settings: KafkaSettings, producer: KafkaEventProducer
) -> None:
    """Its future counts what was appended, all of which can be read by then; none is none."""
    batch = producer.batch()
    for n in range(500):
        batch.append(TOPIC, f"k{n}", str(n).encode(), partition=n % 3)
    assert batch.seal().result(15) == 500
    found = {(m.key, m.value, m.partition) for m in read_topics(settings, [TOPIC])}
    assert found == {(b"k%d" % n, b"%d" % n, n % 3) for n in range(500)}
    assert producer.batch().seal().result(0) == 0


def test_one_refused_message_fails_its_batch_only(producer: KafkaEventProducer) -> None:
    """The first failure is the batch's; what else was in it, or comes later, is sent."""
    batch = producer.batch()
    for value in (b"1", b"x" * 4_000_000, b"2"):
        batch.append(TOPIC, "cat", value)
    with pytest.raises(TooLarge):
        batch.seal().result(15)
    after = producer.batch()
    after.append(TOPIC, "cat", b"3")
    assert after.seal().result(15) == 1


def test_a_batch_tells_when_the_queue_is_full(settings: KafkaSettings) -> None:
    """What did not fit is not part of it: the rest is acknowledged and counted."""
    producer = KafkaEventProducer(
        settings.model_copy(update={"max_queued_messages": 10, "linger_ms": 500.0})
    )
    batch = producer.batch()
    fitted = count()

    def fill() -> None:
        for _ in range(1_000):
            batch.append(TOPIC, "cat", b"x")
            next(fitted)

    with pytest.raises(Overloaded):
        fill()
    assert batch.seal().result(15) == next(fitted)
    producer.close()


def test_a_closed_producer_refuses(producer: KafkaEventProducer) -> None:
    """Closing flushes; appending afterwards is an error, closing again is not."""
    future = producer.append(TOPIC, "cat", b"1")
    producer.close()
    producer.close()
    assert future.result(0).value == b"1"
    with pytest.raises(PartUnavailable):
        producer.append(TOPIC, "cat", b"2")
    with pytest.raises(PartUnavailable):
        producer.batch()


def test_a_whole_topic_is_read_to_its_present_end(
    settings: KafkaSettings, producer: KafkaEventProducer
) -> None:
    """The reader sees every message of all partitions once and stops; empty topics are empty."""
    for n in range(50):
        producer.append(TOPIC, f"k{n}", str(n).encode())
    producer.flush(15)
    found = {m.value for m in read_topics(settings, [TOPIC, IMAGES_BACKFILL.name])}
    assert found == {str(n).encode() for n in range(50)}
    assert list(read_topics(settings, [IMAGES_BACKFILL.name])) == []


@pytest.mark.parametrize("lane", [None, 1])
def test_a_partition_can_be_named(producer: KafkaEventProducer, lane: Literal[1] | None) -> None:
    """Markers go to every partition by number; without one the key decides, the same each time."""
    places = {
        producer.append(TOPIC, "cat", b"1", partition=lane).result(15).partition for _ in "ab"
    }
    assert len(places) == 1
    assert lane is None or places == {lane}
