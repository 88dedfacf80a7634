"""Reads Kafka topics as a member of a group: cooperative, committing only what it is told to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaPartition

from sightline.engine.errors import SightlineError
from sightline.engine.event_log.kafka.clients import open_consumer
from sightline.engine.event_log.kafka.config import error_of
from sightline.engine.event_log.kafka.producer import timestamp_of
from sightline.engine.ports import RebalanceListener
from sightline.engine.records import Message, TopicPartition
from sightline.engine.settings import KafkaSettings

_HARMLESS = frozenset(
    {
        # The topic may be created after the group: librdkafka looks again by itself.
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        # The first group of a broker waits while its internal topic is made.
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
    }
)
_ASK_S = 0.3
"""How long a broker that went away is asked whether it is back."""


class KafkaEventConsumer:
    """An `EventConsumer` on a Kafka cluster; topics and groups are prefixed on the wire only.

    Args:
        settings: the cluster.
        group: the consumer group, unprefixed.
    """

    def __init__(self, settings: KafkaSettings, *, group: str) -> None:
        self._prefix = settings.topic_prefix
        self._timeout_s = settings.request_timeout_s
        self._consumer = open_consumer(settings, group)
        self._next: dict[TopicPartition, int] = {}
        self._failure: SightlineError | None = None
        self._asked_of: str | None = None
        self._closed = False

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `EventConsumer.subscribe`."""

        def assigned(_: Consumer, partitions: list[KafkaPartition]) -> None:
            listener.assigned(self._ours(partitions))

        def revoked(_: Consumer, partitions: list[KafkaPartition]) -> None:
            listener.revoked(self._ours(partitions))
            self._forget(partitions)

        def lost(_: Consumer, partitions: list[KafkaPartition]) -> None:
            listener.lost(self._ours(partitions))
            self._forget(partitions)

        self._asked_of = self._prefix + topics[0]
        self._consumer.subscribe(
            [self._prefix + topic for topic in topics],
            on_assign=assigned,
            on_revoke=revoked,
            on_lost=lost,
        )

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """See `EventConsumer.poll`; an error that came behind messages is raised by the next."""
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        try:
            # One call waits for the first message only: `consume(n)` would wait for all n.
            first = self._consumer.poll(timeout_s)
        except KafkaException as error:
            raise error_of(error, "polling") from error
        taken = [] if first is None else [first, *self._more(max_messages - 1)]
        messages = list(self._sound(taken))
        for message in messages:
            self._next[message.topic_partition] = message.offset + 1
        if not messages and self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return messages

    def ask(self) -> None:
        """See `EventConsumer.ask`."""
        try:
            self._consumer.list_topics(topic=self._asked_of, timeout=_ASK_S)
        except KafkaException as error:
            raise error_of(error, "asking the broker") from error

    def _more(self, most: int) -> list[KafkaMessage]:
        """What else is there; an error is kept for the next poll, for the first message is ours."""
        try:
            return self._consumer.consume(most, 0) if most > 0 else []
        except KafkaException as error:
            self._failure = error_of(error, "polling")
            return []

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """See `EventConsumer.pause`; partitions that are not ours are left out."""
        if theirs := self._assigned(partitions):
            self._consumer.pause(theirs)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """See `EventConsumer.resume`; partitions that are not ours are left out."""
        if theirs := self._assigned(partitions):
            self._consumer.resume(theirs)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `EventConsumer.commit`."""
        if not offsets:
            return
        wanted = [
            KafkaPartition(self._prefix + at.topic, at.partition, offset)
            for at, offset in offsets.items()
        ]
        try:
            committed = self._consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as error:
            raise error_of(error, "committing") from error
        for partition in committed:
            if partition.error is not None:
                raise error_of(partition.error, f"committing {partition.topic}")

    def lag(self) -> dict[TopicPartition, int]:
        """See `EventConsumer.lag`; a partition of which nothing was fetched yet counts as 0."""
        return {at: self._lag_of(at) for at in self._ours(self._consumer.assignment())}

    def close(self) -> None:
        """See `EventConsumer.close`."""
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _lag_of(self, at: TopicPartition) -> int:
        low, high = self._consumer.get_watermark_offsets(self._theirs(at), cached=True)
        if high < 0:
            return 0
        position = self._next.get(at)
        if position is None:
            position = self._consumer.position([self._theirs(at)])[0].offset
        return max(0, high - max(low, position))

    def _sound(self, messages: Iterable[KafkaMessage]) -> Iterable[Message]:
        for message in messages:
            error = message.error()
            if error is None:
                yield message_of(message, self._prefix)
            elif error.code() not in _HARMLESS:
                self._failure = error_of(error, "polling")

    def _assigned(self, partitions: Collection[TopicPartition]) -> list[KafkaPartition]:
        held = {(p.topic, p.partition) for p in self._consumer.assignment()}
        theirs = [self._theirs(at) for at in partitions]
        return [p for p in theirs if (p.topic, p.partition) in held]

    def _forget(self, partitions: list[KafkaPartition]) -> None:
        # librdkafka keeps the pause of what goes: nobody would know of it when it is back.
        self._consumer.resume(partitions)
        for at in self._ours(partitions):
            self._next.pop(at, None)

    def _theirs(self, at: TopicPartition) -> KafkaPartition:
        return KafkaPartition(self._prefix + at.topic, at.partition)

    def _ours(self, partitions: Iterable[KafkaPartition]) -> list[TopicPartition]:
        return [TopicPartition(p.topic.removeprefix(self._prefix), p.partition) for p in partitions]


def message_of(message: KafkaMessage, prefix: str) -> Message:
    """A fetched record as ours, its topic without the prefix."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise TypeError("a fetched record always has a place")
    return Message(
        topic=topic.removeprefix(prefix),
        partition=partition,
        offset=offset,
        key=message.key(),
        value=message.value(),
        timestamp=timestamp_of(message),
        headers=tuple((name, _bytes(value)) for name, value in _pairs(message.headers())),
    )


def _pairs(headers: object) -> list[tuple[str, object]]:
    return list(headers) if isinstance(headers, list) else []


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()
