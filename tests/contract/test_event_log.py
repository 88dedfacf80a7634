"""One suite over every log: Apache Kafka, librdkafka's in-process broker, and memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal, Protocol

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import AdminClient

from sightline.engine.errors import (
    Overloaded,
    Part,
    PartUnavailable,
    PermanentError,
    RefusedToStart,
    TooLarge,
)
from sightline.engine.event_log.embedded.broker import InProcessBroker
from sightline.engine.event_log.kafka import (
    KafkaEventConsumer,
    KafkaEventProducer,
    client_config,
)
from sightline.engine.event_log.kafka.clients import open_reader
from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.event_log.kafka.settling import watermarks
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.consumer import MemoryEventConsumer
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.ports import BatchEventProducer, EventConsumer, EventLog, LogFollower
from sightline.engine.records import Message, ProducerRecord, TopicPartition
from sightline.engine.settings import KafkaSettings
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, INTERACTIONS, INTERACTIONS_IMPORTED
from tests.listening import Listener
from tests.patience import patient
from tests.waiting import eventually

TOPICS = (IMAGES, IMAGES_BACKFILL, INTERACTIONS, INTERACTIONS_IMPORTED)
TOPIC = IMAGES.name
PARTITIONS = 3


class Deployment(Protocol):
    """A broker with the image topics, three partitions each."""

    @property
    def log(self) -> EventLog:
        """Reads outside of any group."""

    def producer(self) -> BatchEventProducer:
        """A new producer; its user closes it."""

    def consumer(self, group: str) -> EventConsumer:
        """A new member of a group; its user closes it."""


class OnKafka:
    """A corner of a broker that speaks the Kafka protocol."""

    def __init__(self, settings: KafkaSettings, *, finds_times: bool = True) -> None:
        self.settings = settings
        self.log = KafkaEventLog(settings, finds_times=finds_times)

    def producer(self) -> KafkaEventProducer:
        """See `Deployment.producer`."""
        return KafkaEventProducer(self.settings)

    def consumer(self, group: str) -> KafkaEventConsumer:
        """See `Deployment.consumer`."""
        return KafkaEventConsumer(self.settings, group=group)


class InMemory:
    """A broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(TOPICS, PARTITIONS)
        self.log = MemoryEventLog(self.broker)

    def producer(self) -> MemoryEventProducer:
        """See `Deployment.producer`."""
        return MemoryEventProducer(self.broker)

    def consumer(self, group: str) -> MemoryEventConsumer:
        """See `Deployment.consumer`."""
        return MemoryEventConsumer(self.broker, group=group)


@pytest.fixture(params=["kafka", "in-process", "memory"])
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """Each log in turn, with nothing in it."""
    if request.param == "memory":
        yield InMemory()
        return
    if request.param == "kafka":
        real: KafkaSettings = request.getfixturevalue("kafka_settings")
        KafkaTopics(real).ensure(TOPICS)
        yield OnKafka(real)
        return
    prefix = f"t{uuid.uuid4().hex[:8]}."
    broker = InProcessBroker(TOPICS, PARTITIONS, prefix=prefix)
    try:
        yield OnKafka(
            KafkaSettings(
                bootstrap_servers=broker.bootstrap_servers,
                topic_prefix=prefix,
                session_timeout_s=6,
            ),
            finds_times=False,
        )
    finally:
        broker.close()


@pytest.fixture
def log(deployment: Deployment) -> EventLog:
    """Reads outside of any group."""
    return deployment.log


@pytest.fixture
def producer(deployment: Deployment) -> Iterator[BatchEventProducer]:
    """A producer that is closed after the test."""
    producer = deployment.producer()
    yield producer
    producer.close()


def drain(consumer: EventConsumer | LogFollower, count: int) -> list[Message]:
    """The next `count` messages."""
    got: list[Message] = []
    eventually(
        lambda: got.extend(consumer.poll(100, 0.2)) or len(got) >= count,  # type: ignore[func-returns-value]
        timeout_s=30,
        reason=f"{count} messages",
    )
    return got


@pytest.fixture
def consume(deployment: Deployment) -> Iterator[Callable[..., EventConsumer]]:
    """Makes subscribed consumers that are closed after the test."""
    opened: list[EventConsumer] = []

    def make(group: str = "readers", listener: Listener | None = None) -> EventConsumer:
        consumer = deployment.consumer(group)
        opened.append(consumer)
        consumer.subscribe([TOPIC], listener or Listener())
        return consumer

    yield make
    for consumer in opened:
        consumer.close()


class Gaps(Protocol):
    """Makes gaps in the offsets of a partition."""

    def commit(self, at: TopicPartition, *values: bytes) -> None:
        """Append in a transaction, and commit it."""

    def abort(self, at: TopicPartition, *values: bytes) -> None:
        """Append in a transaction, and abort it."""

    def delete_below(self, at: TopicPartition, offset: int) -> None:
        """Delete the oldest records."""


class KafkaGaps:
    """With a transactional producer, and the broker's own deletion."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def commit(self, at: TopicPartition, *values: bytes) -> None:
        """See `Gaps.commit`."""
        end = self._end(at) + len(values) + 1
        self._append(at, values).commit_transaction(patient(15))
        eventually(lambda: self._end(at) >= end, reason="the end of the transaction in the log")

    def abort(self, at: TopicPartition, *values: bytes) -> None:
        """See `Gaps.abort`."""
        end = self._end(at) + len(values) + 1
        self._append(at, values).abort_transaction(patient(15))
        eventually(lambda: self._end(at) >= end, reason="the end of the transaction in the log")

    def delete_below(self, at: TopicPartition, offset: int) -> None:
        """See `Gaps.delete_below`."""
        admin = AdminClient(client_config(self._settings))
        place = KafkaPartition(self._settings.topic_prefix + at.topic, at.partition, offset)
        for answer in admin.delete_records([place]).values():
            answer.result(patient(15))

    def _end(self, at: TopicPartition) -> int:
        """Where readers see the log end: a transaction is acknowledged before its end is there."""
        place = KafkaPartition(self._settings.topic_prefix + at.topic, at.partition)
        with closing(open_reader(self._settings)) as reader:
            return watermarks(reader, place, timeout_s=patient(15))[1]

    def _append(self, at: TopicPartition, values: tuple[bytes, ...]) -> Producer:
        name = f"{self._settings.topic_prefix}{uuid.uuid4().hex}"
        producer = Producer(client_config(self._settings) | {"transactional.id": name})
        producer.init_transactions(patient(30))
        producer.begin_transaction()
        for value in values:
            producer.produce(
                self._settings.topic_prefix + at.topic, value, "cat", partition=at.partition
            )
        producer.flush(patient(15))
        return producer


class MemoryGaps:
    """By what the broker in memory can be told."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def commit(self, at: TopicPartition, *values: bytes) -> None:
        """See `Gaps.commit`."""
        producer = MemoryEventProducer(self._broker)
        for value in values:
            producer.append(ProducerRecord(at.topic, "cat", value, partition=at.partition))
        self._broker.skip(at)

    def abort(self, at: TopicPartition, *values: bytes) -> None:
        """See `Gaps.abort`."""
        self._broker.skip(at, len(values) + 1)

    def delete_below(self, at: TopicPartition, offset: int) -> None:
        """See `Gaps.delete_below`."""
        self._broker.delete_below(at, offset)


@pytest.fixture
def gaps(deployment: Deployment) -> Gaps:
    """The deployment's own gaps."""
    if isinstance(deployment, InMemory):
        return MemoryGaps(deployment.broker)
    assert isinstance(deployment, OnKafka)
    return KafkaGaps(deployment.settings)


with_gaps = pytest.mark.parametrize("deployment", ["kafka", "memory"], indirect=True)
"""The in-process broker shows what was aborted and deletes by size alone: only we write to it."""


def test_an_acknowledgement_says_where_and_when(producer: BatchEventProducer) -> None:
    """The future carries the unprefixed topic, the place and the log's time."""
    before = datetime.now(UTC)
    message = producer.append(
        ProducerRecord(TOPIC, "cat", b"1", headers=[("traceparent", b"x")])
    ).result(patient(15))
    assert (message.topic, message.offset, message.value) == (TOPIC, 0, b"1")
    assert message.partition in range(3)
    assert abs((message.timestamp - before).total_seconds()) < 60


def test_what_was_appended_is_read_back(
    producer: BatchEventProducer, consume: Callable[..., EventConsumer]
) -> None:
    """Key, value, headers, nulls and time survive the trip; the topic comes back unprefixed."""
    sent = producer.append(
        ProducerRecord(TOPIC, "cat", b"\x00\xff", headers=[("a", b"1"), ("a", b"2")])
    ).result(patient(15))
    null = producer.append(ProducerRecord(TOPIC, "cat", None)).result(patient(15))
    first, second = drain(consume(), 2)
    assert first == sent
    assert (second.offset, second.value) == (null.offset, None)


def test_one_key_keeps_its_order(
    producer: BatchEventProducer, consume: Callable[..., EventConsumer]
) -> None:
    """Messages of one key lie in one partition in the order of their appends."""
    futures = [
        producer.append(ProducerRecord(TOPIC, f"k{n % 5}", str(n).encode())) for n in range(200)
    ]
    producer.flush(patient(15))
    assert all(future.done() for future in futures)
    per_key: dict[bytes | None, list[int]] = {}
    for message in drain(consume(), 200):
        per_key.setdefault(message.key, []).append(int(message.value or b""))
    assert per_key == {f"k{k}".encode(): list(range(k, 200, 5)) for k in range(5)}


def test_a_group_goes_on_where_it_committed(
    producer: BatchEventProducer, consume: Callable[..., EventConsumer]
) -> None:
    """Only what was committed is skipped by the group's next member; the rest comes again."""
    for n in range(10):
        producer.append(ProducerRecord(TOPIC, "cat", str(n).encode()))
    producer.flush(patient(15))
    first = consume()
    at = drain(first, 10)[0].topic_partition
    first.commit({at: 4})
    first.close()
    assert [message.offset for message in drain(consume(), 6)] == [4, 5, 6, 7, 8, 9]


def test_two_members_share_the_partitions(consume: Callable[..., EventConsumer]) -> None:
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
    producer: BatchEventProducer, consume: Callable[..., EventConsumer]
) -> None:
    """Nothing comes from a paused partition; everything, in order, once it is resumed."""
    producer.append(ProducerRecord(TOPIC, "cat", b"0")).result(patient(15))
    consumer = consume()
    at = drain(consumer, 1)[0].topic_partition
    consumer.pause([at])
    consumer.pause([at])
    for n in range(1, 5):
        producer.append(ProducerRecord(TOPIC, "cat", str(n).encode()))
    producer.flush(patient(15))
    assert consumer.poll(10, 1.0) == []
    consumer.resume([at])
    assert [message.value for message in drain(consumer, 4)] == [b"1", b"2", b"3", b"4"]


def test_a_partition_that_went_while_it_was_paused_is_read_when_it_is_back(
    producer: BatchEventProducer, consume: Callable[..., EventConsumer]
) -> None:
    """Who gets it anew knows of no pause, and would wait for ever for what it holds."""
    one, other = Listener(), Listener()
    first = consume(listener=one)
    eventually(lambda: first.poll(10, 0.1) or len(one.held) == 3, timeout_s=30)
    first.pause(one.held)
    went: list[TopicPartition] = []
    one.on_revoke = went.extend
    second = consume(listener=other)
    eventually(lambda: (first.poll(10, 0.1), second.poll(10, 0.1)) and other.held, timeout_s=60)
    second.close()
    eventually(lambda: first.poll(10, 0.1) or len(one.held) == 3, timeout_s=60)
    for at in went:
        producer.append(ProducerRecord(TOPIC, "cat", b"new", partition=at.partition))
    producer.flush(patient(15))
    came = drain(first, len(went))
    assert {message.topic_partition for message in came} == set(went)


def test_lag_is_what_is_left_to_read(
    producer: BatchEventProducer, consume: Callable[..., EventConsumer]
) -> None:
    """Lag falls to 0 as messages are polled, and rises with new ones while paused."""
    consumer = consume()
    for n in range(5):
        producer.append(ProducerRecord(TOPIC, "cat", str(n).encode()))
    at = drain(consumer, 5)[0].topic_partition
    eventually(lambda: consumer.poll(1, 0.1) or consumer.lag().get(at) == 0, timeout_s=15)
    assert set(consumer.lag().values()) == {0}


def test_a_message_over_the_bound_is_refused(producer: BatchEventProducer) -> None:
    """A message that is larger than any topic allows ends as `TooLarge`; the next one passes."""
    with pytest.raises(TooLarge):
        producer.append(ProducerRecord(TOPIC, "cat", b"x" * 4_000_000)).result(patient(15))
    assert producer.append(ProducerRecord(TOPIC, "cat", b"y")).result(patient(15)).value == b"y"


def test_a_batch_ends_when_all_of_it_is_acknowledged(
    log: EventLog, producer: BatchEventProducer
) -> None:
    """Its future counts what was appended, all of which can be read by then; none is none."""
    batch = producer.batch()
    for n in range(500):
        batch.append(ProducerRecord(TOPIC, f"k{n}", str(n).encode(), partition=n % 3))
    assert batch.seal().result(patient(15)) == 500
    found = {(m.key, m.value, m.partition) for m in log.read([TOPIC])}
    assert found == {(b"k%d" % n, b"%d" % n, n % 3) for n in range(500)}
    assert producer.batch().seal().result(0) == 0


def test_a_batch_keeps_headers_and_times(log: EventLog, producer: BatchEventProducer) -> None:
    """As a message by itself does, in a topic that does not stamp what is appended."""
    topic, at = INTERACTIONS_IMPORTED.name, datetime(2026, 3, 1, 12, tzinfo=UTC)
    sent = ProducerRecord(topic, "cat", b"1", [("ce_id", b"e1")], at)
    batch = producer.batch()
    batch.append(sent)
    assert batch.seal().result(patient(15)) == 1
    producer.append(sent).result(patient(15))
    kept = [(message.headers, message.timestamp) for message in log.read([topic])]
    assert kept == [((("ce_id", b"e1"),), at)] * 2


def test_one_refused_message_fails_its_batch_only(producer: BatchEventProducer) -> None:
    """The first failure is the batch's; what else was in it, or comes later, is sent."""
    batch = producer.batch()
    for value in (b"1", b"x" * 4_000_000, b"2"):
        batch.append(ProducerRecord(TOPIC, "cat", value))
    with pytest.raises(TooLarge):
        batch.seal().result(patient(15))
    after = producer.batch()
    after.append(ProducerRecord(TOPIC, "cat", b"3"))
    assert after.seal().result(patient(15)) == 1


def test_a_batch_tells_when_the_queue_is_full(deployment: Deployment) -> None:
    """What did not fit is not part of it: the rest is acknowledged and counted."""
    if isinstance(deployment, OnKafka):
        narrow = {"max_queued_messages": 10, "linger_ms": 500.0}
        producer: BatchEventProducer = KafkaEventProducer(
            deployment.settings.model_copy(update=narrow)
        )
    else:
        assert isinstance(deployment, InMemory)
        producer = queue = deployment.producer()
        queue.refusals = [*[None] * 10, Overloaded(Part.BROKER, "queue full")]
    batch = producer.batch()
    fitted = count()

    def fill() -> None:
        for _ in range(1_000):
            batch.append(ProducerRecord(TOPIC, "cat", b"x"))
            next(fitted)

    with pytest.raises(Overloaded):
        fill()
    assert batch.seal().result(patient(15)) == next(fitted)
    producer.close()


def test_a_closed_producer_refuses(producer: BatchEventProducer) -> None:
    """Closing flushes; appending afterwards is an error, closing again is not."""
    future = producer.append(ProducerRecord(TOPIC, "cat", b"1"))
    producer.close()
    producer.close()
    assert future.result(0).value == b"1"
    with pytest.raises(PartUnavailable):
        producer.append(ProducerRecord(TOPIC, "cat", b"2"))
    with pytest.raises(PartUnavailable):
        producer.batch()


def test_a_whole_topic_is_read_to_its_present_end(
    log: EventLog, producer: BatchEventProducer
) -> None:
    """The reader sees every message of all partitions once and stops; empty topics are empty."""
    for n in range(50):
        producer.append(ProducerRecord(TOPIC, f"k{n}", str(n).encode()))
    producer.flush(patient(15))
    found = {m.value for m in log.read([TOPIC, IMAGES_BACKFILL.name])}
    assert found == {str(n).encode() for n in range(50)}
    assert list(log.read([IMAGES_BACKFILL.name])) == []


@pytest.mark.parametrize("lane", [None, 1])
def test_a_partition_can_be_named(producer: BatchEventProducer, lane: Literal[1] | None) -> None:
    """Markers go to every partition by number; without one the key decides, the same each time."""
    places = {
        producer.append(ProducerRecord(TOPIC, "cat", b"1", partition=lane))
        .result(patient(15))
        .partition
        for _ in "ab"
    }
    assert len(places) == 1
    assert lane is None or places == {lane}


def test_one_key_is_read_from_its_partition(log: EventLog, producer: BatchEventProducer) -> None:
    """All of that partition, in order, and nothing of the others."""
    for n in range(30):
        producer.append(ProducerRecord(TOPIC, f"k{n}", str(n).encode()))
    at = producer.append(ProducerRecord(TOPIC, "k7", b"last")).result(patient(15))
    found = list(log.read([TOPIC, "no-such-topic"], key="k7"))
    assert {m.partition for m in found} == {at.partition}
    assert found == [m for m in log.read([TOPIC]) if m.partition == at.partition]
    assert found[-1] == at


def appended_over_time(producer: BatchEventProducer) -> list[Message]:
    """Records of partition 1, so many that the log has three different times for them."""
    told: list[Message] = []
    while len({one.timestamp for one in told}) < 3:
        record = ProducerRecord(TOPIC, "cat", str(len(told)).encode(), partition=1)
        told.append(producer.append(record).result(patient(15)))
    return told


def test_what_was_appended_before_is_left_out(log: EventLog, producer: BatchEventProducer) -> None:
    """`since` is compared with the log's own times; later than all of them nothing is left."""
    told = appended_over_time(producer)
    for since in {one.timestamp for one in told}:
        found = [one.value for one in log.read([TOPIC], since=since)]
        assert found == [one.value for one in told if one.timestamp >= since]
    assert list(log.read([TOPIC], since=told[-1].timestamp + timedelta(hours=1))) == []


def test_partitions_are_counted(log: EventLog) -> None:
    """A topic that is not there is a misconfiguration."""
    assert log.partition_count(TOPIC) == PARTITIONS
    with pytest.raises(RefusedToStart):
        log.partition_count("no-such-topic")


def test_a_follower_reads_on_from_where_it_was_told(
    log: EventLog, producer: BatchEventProducer
) -> None:
    """From the given offset, then what comes later; other partitions are not read."""
    for n in range(4):
        producer.append(ProducerRecord(TOPIC, "cat", str(n).encode(), partition=1))
        producer.append(ProducerRecord(TOPIC, "cat", b"other", partition=0))
    producer.flush(patient(15))
    with closing(log.follow(TOPIC, {1: 2}, group="followers")) as follower:
        assert [m.value for m in drain(follower, 2)] == [b"2", b"3"]
        assert follower.poll(10, 0.2) == []
        producer.append(ProducerRecord(TOPIC, "cat", b"4", partition=1)).result(patient(15))
        assert [m.value for m in drain(follower, 1)] == [b"4"]


def test_a_start_outside_of_the_log_is_its_beginning(
    log: EventLog, producer: BatchEventProducer
) -> None:
    """Of an offset that is not there yet; the caller sees it by the first offset that comes."""
    producer.append(ProducerRecord(TOPIC, "cat", b"0", partition=1)).result(patient(15))
    with closing(log.follow(TOPIC, {1: 77}, group="followers")) as follower:
        assert drain(follower, 1)[0].offset == 0


def test_a_followers_commit_is_where_its_group_starts(
    log: EventLog, producer: BatchEventProducer
) -> None:
    """Committed offsets are read back; without one it is the log's start."""
    for _ in range(4):
        producer.append(ProducerRecord(TOPIC, "cat", b"x", partition=1))
    producer.flush(patient(15))
    with closing(log.follow(TOPIC, {1: 0}, group="followers")) as follower:
        drain(follower, 4)
        follower.commit({TopicPartition(TOPIC, 1): 3})
    assert log.start_offsets("followers", TOPIC, [0, 1]) == {0: 0, 1: 3}
    assert log.start_offsets("others", TOPIC, [1]) == {1: 0}


def test_what_was_committed_past_the_end_is_of_another_log(
    log: EventLog, producer: BatchEventProducer
) -> None:
    """A topic that was made anew is read from its beginning; else its first records were lost."""
    producer.append(ProducerRecord(TOPIC, "cat", b"x", partition=1)).result(patient(15))
    with closing(log.follow(TOPIC, {1: 0}, group="of-before")) as follower:
        follower.commit({TopicPartition(TOPIC, 1): 77})
    assert log.start_offsets("of-before", TOPIC, [1]) == {1: 0}
    for ages in (True, False):
        found = log.lag("of-before", [TOPIC], ages=ages)
        assert [(one.committed, one.lag) for one in found if one.partition == 1] == [(None, 1)]


def test_what_a_group_committed_is_forgotten_with_it(
    request: pytest.FixtureRequest, log: EventLog, producer: BatchEventProducer
) -> None:
    """Unknown ones are fine; a broker that deletes none says so, and is not asked again."""
    producer.append(ProducerRecord(TOPIC, "cat", b"x", partition=1)).result(patient(15))
    with closing(log.follow(TOPIC, {1: 0}, group="left")) as follower:
        drain(follower, 1)
        follower.commit({TopicPartition(TOPIC, 1): 1})
    if "in-process" in request.node.name:
        with pytest.raises(PermanentError):
            log.forget_groups(["left"])
        return
    log.forget_groups(["left", "never-there"])
    assert log.start_offsets("left", TOPIC, [1]) == {1: 0}


def test_offsets_are_found_by_time(
    request: pytest.FixtureRequest, log: EventLog, producer: BatchEventProducer
) -> None:
    """None is the beginning; a moment that is yet to come is the end; no topic, no partitions."""
    told = appended_over_time(producer)
    assert log.offsets_since(TOPIC, None) == {0: 0, 1: 0, 2: 0}
    assert log.offsets_since("no-such-topic", None) == {}
    later = told[-1].timestamp + timedelta(hours=1)
    if "in-process" in request.node.name:
        known = pytest.mark.xfail(strict=True, reason="librdkafka's broker finds no offset by time")
        request.applymarker(known)
    assert log.offsets_since(TOPIC, later) == {0: 0, 1: len(told), 2: 0}
    for since in {one.timestamp for one in told}:
        first = next(one for one in told if one.timestamp >= since)
        assert log.offsets_since(TOPIC, since) == {0: 0, 1: first.offset, 2: 0}


def test_the_last_record_of_each_partition_is_found(
    log: EventLog, producer: BatchEventProducer
) -> None:
    """None of an empty partition; nothing at all of a topic that is not there."""
    for n in range(3):
        last = producer.append(ProducerRecord(TOPIC, "cat", str(n).encode(), partition=1)).result(
            patient(15)
        )
    assert log.last_records(TOPIC) == {0: None, 1: last, 2: None}
    assert log.last_records("no-such-topic") == {}


def test_the_next_record_is_found(log: EventLog, producer: BatchEventProducer) -> None:
    """The offset itself where there is a record, else the end, also for what lies beyond it."""
    for _ in range(3):
        producer.append(ProducerRecord(TOPIC, "cat", b"x", partition=1)).result(patient(15))
    at = TopicPartition(TOPIC, 1)
    assert [log.next_record(at, offset) for offset in range(5)] == [0, 1, 2, 3, 3]
    assert log.next_record(TopicPartition(TOPIC, 0), 0) == 0


def test_lag_is_seen_from_outside(log: EventLog, producer: BatchEventProducer) -> None:
    """What a group has not committed, and since when it waits."""
    told = [
        producer.append(ProducerRecord(TOPIC, "cat", b"x", partition=1)).result(patient(15))
        for _ in range(3)
    ]
    [_, before, _] = log.lag("followers", [TOPIC, "no-such-topic"])
    assert (before.lag, before.committed, before.oldest_waiting) == (3, None, told[0].timestamp)
    with closing(log.follow(TOPIC, {1: 0}, group="followers")) as follower:
        drain(follower, 3)
        follower.commit({TopicPartition(TOPIC, 1): 2})
    [_, after, _] = log.lag("followers", [TOPIC])
    assert (after.lag, after.committed, after.oldest_waiting) == (1, 2, told[2].timestamp)
    [_, quick, _] = log.lag("followers", [TOPIC], ages=False)
    assert (quick.lag, quick.oldest_waiting) == (1, None)


@with_gaps
def test_a_gap_of_a_committed_transaction_is_known(
    deployment: Deployment, log: EventLog, producer: BatchEventProducer, gaps: Gaps
) -> None:
    """Its end takes an offset: the record behind it is next, and it is no last record either."""
    gaps.commit(TopicPartition(TOPIC, 1), b"a", b"b")
    at = TopicPartition(TOPIC, 1)
    assert [log.next_record(at, offset) for offset in (0, 1, 2)] == [0, 1, 3]
    last = log.last_records(TOPIC)[1]
    assert last is not None
    assert last.value == b"b"
    with closing(deployment.log.follow(TOPIC, {1: 0}, group="followers")) as follower:
        drain(follower, 2)
        follower.commit({at: 2})
    [_, lag, _] = log.lag("followers", [TOPIC])
    assert (lag.lag, lag.oldest_waiting) == (0, None)
    producer.append(ProducerRecord(TOPIC, "cat", b"c", partition=1)).result(patient(15))
    assert [m.offset for m in log.read([TOPIC])] == [0, 1, 3]
    assert log.next_record(at, 2) == 3


@with_gaps
def test_a_gap_of_an_aborted_transaction_is_known(
    log: EventLog, producer: BatchEventProducer, gaps: Gaps
) -> None:
    """What was aborted is never read, by nobody."""
    gaps.abort(TopicPartition(TOPIC, 1), b"a", b"b")
    at = TopicPartition(TOPIC, 1)
    assert log.next_record(at, 0) == 3
    assert log.last_records(TOPIC)[1] is None
    producer.append(ProducerRecord(TOPIC, "cat", b"c", partition=1)).result(patient(15))
    assert [(m.offset, m.value) for m in log.read([TOPIC])] == [(3, b"c")]
    assert log.next_record(at, 0) == 3


@with_gaps
def test_a_gap_of_a_deletion_is_known(
    log: EventLog, producer: BatchEventProducer, gaps: Gaps
) -> None:
    """Below the log's start there is nothing to wait for; who had not read it can be told."""
    at = TopicPartition(INTERACTIONS.name, 1)  # no compacted topic can be cut off like this
    for n in range(4):
        producer.append(ProducerRecord(at.topic, "cat", str(n).encode(), partition=1)).result(
            patient(15)
        )
    with closing(log.follow(at.topic, {1: 0}, group="left")) as follower:
        follower.commit({at: 1})
    gaps.delete_below(at, 3)
    assert log.next_record(at, 0) == 3
    assert log.start_offsets("followers", at.topic, [1]) == {1: 3}
    [_, left, _] = log.lag("left", [at.topic])
    assert (left.committed, left.start, left.lag) == (1, 3, 1)
