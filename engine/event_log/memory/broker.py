"""Topics and groups in memory: what producers, consumers and readers of one process share."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from sightline.engine.clock import SystemClock
from sightline.engine.errors import Part, PartUnavailable, SightlineError, TooLarge
from sightline.engine.event_log.memory.group import MemoryGroup
from sightline.engine.event_log.memory.partition import MemoryPartition
from sightline.engine.event_log.partitions import partition_of
from sightline.engine.ports import Clock
from sightline.engine.records import Message, TopicPartition
from sightline.schemas.topics import TOPICS, TimestampType, Topic

if TYPE_CHECKING:
    from sightline.engine.event_log.memory.consumer import MemoryEventConsumer

_US_PER_MS = 1_000


class MemoryBroker:
    """A log that forgets everything when its process ends.

    Args:
        topics: what it has.
        partitions: of every topic; none: each topic's own count.
        clock: stamps what is appended.
        polls_wait: whether a poll waits for records; a test that takes all turns itself says no.
    """

    def __init__(
        self,
        topics: Iterable[Topic] = TOPICS,
        partitions: int | None = None,
        *,
        clock: Clock | None = None,
        polls_wait: bool = True,
    ) -> None:
        self._topics = {topic.name: topic for topic in topics}
        self._clock = clock or SystemClock()
        self._partitions = {
            TopicPartition(topic.name, number): MemoryPartition()
            for topic in self._topics.values()
            for number in range(partitions or topic.partitions)
        }
        self.changed = threading.Condition(threading.RLock())
        """Guards all of it; notified at every append and every change of a group."""
        self.groups: dict[str, MemoryGroup[MemoryEventConsumer]] = {}
        self.polls_wait = polls_wait
        self.down = False
        """While true, nothing is acknowledged, read or committed."""

    def partitions(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic; none of one that does not exist."""
        return [at for at in self._partitions if at.topic == topic]

    def partition(self, at: TopicPartition) -> MemoryPartition:
        """One that exists; hold `changed` while using it."""
        return self._partitions[at]

    def group(self, name: str) -> MemoryGroup[MemoryEventConsumer]:
        """A group, which is there from the first time that somebody asks for it."""
        with self.changed:
            return self.groups.setdefault(name, MemoryGroup())

    def records(self, topic: str) -> list[Message]:
        """All that a topic holds now, partition after partition."""
        with self.changed:
            return [m for at in self.partitions(topic) for m in self.partition(at).records]

    def append(self, message: Message, partition: int | None) -> Message:
        """Give a record its place and time.

        Raises:
            TooLarge: it is over its topic's bound.
            PartUnavailable: the broker is down, or has no such topic or partition.
        """
        with self.changed:
            refused = self._refusal(message)
            if refused is not None:
                raise refused
            at = self._place(message, partition)
            kept = self._stamped(replace(message, partition=at.partition, offset=self._end(at)))
            self.partition(at).append(kept)
            self.changed.notify_all()
            return kept

    def skip(self, at: TopicPartition, offsets: int = 1) -> None:
        """Use up offsets without records, as committed and aborted transactions do."""
        with self.changed:
            self.partition(at).skip(offsets)
            self.changed.notify_all()

    def delete_below(self, at: TopicPartition, offset: int) -> None:
        """Forget the oldest records of a partition, as retention does."""
        with self.changed:
            self.partition(at).delete_below(offset)

    def compact(self, topic: str) -> None:
        """Keep the last record of each key, as compaction does."""
        with self.changed:
            for at in self.partitions(topic):
                self.partition(at).compact()

    def refuse_if_down(self) -> None:
        """Raises `PartUnavailable` while the broker is down."""
        if self.down:
            raise PartUnavailable(Part.BROKER, "switched off")

    def _refusal(self, message: Message) -> SightlineError | None:
        topic = self._topics.get(message.topic)
        if self.down:
            return PartUnavailable(Part.BROKER, "switched off")
        if topic is None:
            return PartUnavailable(Part.BROKER, f"there is no topic {message.topic}")
        if size_bytes(message) > topic.max_message_bytes:
            return TooLarge(f"{message.topic}: over {topic.max_message_bytes} bytes")
        return None

    def _place(self, message: Message, partition: int | None) -> TopicPartition:
        known = self.partitions(message.topic)
        by_key = partition_of((message.key or b"").decode(), len(known))
        at = TopicPartition(message.topic, by_key if partition is None else partition)
        if at not in self._partitions:
            raise PartUnavailable(Part.BROKER, f"{at.topic} has no partition {at.partition}")
        return at

    def _stamped(self, message: Message) -> Message:
        kind = self._topics[message.topic].timestamps
        time = self._clock.now() if kind is TimestampType.LOG_APPEND_TIME else message.timestamp
        whole_ms = time.microsecond - time.microsecond % _US_PER_MS
        return replace(message, timestamp=time.replace(microsecond=whole_ms))

    def _end(self, at: TopicPartition) -> int:
        return self.partition(at).end


def size_bytes(message: Message) -> int:
    """What a record weighs: key, value and headers."""
    headers = sum(len(name) + len(value) for name, value in message.headers)
    return len(message.key or b"") + len(message.value or b"") + headers
