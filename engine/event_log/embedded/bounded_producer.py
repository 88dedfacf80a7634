"""An event producer that refuses what the in-process broker would silently push out.

Librdkafka's in-process broker keeps about 5 MiB a partition and then drops the oldest records,
read or not. So the bytes of a partition that its consumers have not committed are bounded, below
what it can hold, and appending beyond is `Overloaded`: try again later.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from sightline.engine.errors import Overloaded, Part
from sightline.engine.event_log.embedded.broker import PARTITION_BYTES
from sightline.engine.event_log.kafka.clients import open_consumer
from sightline.engine.event_log.kafka.config import error_of
from sightline.engine.event_log.partitions import partition_of
from sightline.engine.ports import EventProducer
from sightline.engine.records import Message, ProducerRecord, TopicPartition
from sightline.engine.settings import KafkaSettings

MAX_UNCOMMITTED_BYTES = PARTITION_BYTES * 3 // 4
"""Three quarters of a partition; the rest is for the broker's own framing, and for what others
append."""
_RECORD_OVERHEAD_BYTES = 128
_INTERVAL_S = 0.05
_TIMEOUT_S = 5.0
_RETRY_AFTER_S = 0.1

_log = logging.getLogger(__name__)

Groups = Callable[[str], Collection[str]]
"""The groups that must keep up with a topic; none: it is not bounded."""
Committed = Callable[[str, Sequence[TopicPartition]], Mapping[TopicPartition, int]]
"""The committed offsets of a group on some partitions; those without one are absent."""


class BoundedEventProducer:
    """An `EventProducer` for the embedded stack; `append` never waits, it refuses.

    Args:
        inner: appends to the broker.
        groups: who must keep up with a topic; asked again and again, since they come and go.
        committed: asks the broker.
        partitions: of every such topic; a key decides where a message goes.
        max_bytes: of a partition that one of its groups has not committed.
    """

    def __init__(
        self,
        inner: EventProducer,
        groups: Groups,
        committed: Committed,
        *,
        partitions: int = 1,
        max_bytes: int = MAX_UNCOMMITTED_BYTES,
    ) -> None:
        self._inner = inner
        self._groups = groups
        self._committed = committed
        self._partitions = partitions
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._bytes: defaultdict[TopicPartition, int] = defaultdict(int)
        self._uncommitted: dict[TopicPartition, deque[tuple[int, int]]] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="event-log-bound", daemon=True)
        self._thread.start()

    def append(self, record: ProducerRecord) -> Future[Message]:
        """See `EventProducer.append`.

        Raises:
            Overloaded: the partition's consumers are too far behind.
        """
        if not self._groups(record.topic):
            return self._inner.append(record)
        number = record.partition
        if number is None:
            number = partition_of(record.key, self._partitions)
        at = TopicPartition(record.topic, number)
        size = len(record.value or b"") + sum(len(data) for _, data in record.headers)
        size += _RECORD_OVERHEAD_BYTES
        self._reserve(at, size)
        try:
            future = self._inner.append(record)
        except BaseException:
            self._release(at, size)
            raise
        future.add_done_callback(lambda done: self._appended(at, size, done))
        return future

    def flush(self, timeout_s: float) -> None:
        """See `EventProducer.flush`."""
        self._inner.flush(timeout_s)

    def close(self) -> None:
        """See `EventProducer.close`."""
        if not self._closed.is_set():
            self._closed.set()
            self._inner.close()
            self._thread.join()

    def _reserve(self, at: TopicPartition, size: int) -> None:
        with self._lock:
            held = self._bytes[at]
            if held and held + size > self._max_bytes:
                raise Overloaded(
                    Part.BROKER,
                    f"{held} bytes of {at.topic}/{at.partition} are not consumed yet",
                    retry_after_s=_RETRY_AFTER_S,
                )
            self._bytes[at] += size

    def _release(self, at: TopicPartition, size: int) -> None:
        with self._lock:
            self._bytes[at] -= size

    def _appended(self, at: TopicPartition, size: int, done: Future[Message]) -> None:
        if done.exception() is not None:
            self._release(at, size)
            return
        with self._lock:
            self._uncommitted.setdefault(at, deque()).append((done.result().offset, size))

    def _follow(self) -> None:
        while not self._closed.wait(_INTERVAL_S):
            for topic, partitions in self._waiting().items():
                groups = self._groups(topic)
                told = [self._committed(group, partitions) for group in groups]
                self._forget(_least(told))

    def _waiting(self) -> dict[str, list[TopicPartition]]:
        """The partitions of each topic on which something is not committed yet."""
        waiting: defaultdict[str, list[TopicPartition]] = defaultdict(list)
        with self._lock:
            for at, left in self._uncommitted.items():
                if left:
                    waiting[at.topic].append(at)
        return waiting

    def _forget(self, committed: Mapping[TopicPartition, int]) -> None:
        with self._lock:
            for at, offset in committed.items():
                waiting = self._uncommitted[at]
                while waiting and waiting[0][0] < offset:
                    self._bytes[at] -= waiting.popleft()[1]


def _least(told: Sequence[Mapping[TopicPartition, int]]) -> dict[TopicPartition, int]:
    """How far the slowest group is on each partition on which all have committed."""
    if not told:
        return {}
    common = set(told[0]).intersection(*told[1:])
    return {at: min(offsets[at] for offsets in told) for at in common}


class CommittedOffsets:
    """Asks the broker how far groups have committed, without joining them.

    Args:
        settings: of the in-process broker.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumers: dict[str, Consumer] = {}

    def __call__(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The committed offsets; none at all while the broker does not answer."""
        prefix = self._settings.topic_prefix
        if group not in self._consumers:
            self._consumers[group] = open_consumer(self._settings, group)
        asked = [KafkaPartition(prefix + at.topic, at.partition) for at in partitions]
        try:
            found = self._consumers[group].committed(asked, timeout=_TIMEOUT_S)
        except KafkaException as error:
            _log.warning("%s", error_of(error, f"asking for the offsets of {group}"))
            return {}
        return {
            TopicPartition(p.topic.removeprefix(prefix), p.partition): p.offset
            for p in found
            if p.error is None and p.offset >= 0
        }

    def close(self) -> None:
        """Closes the connections, one for each group that was asked for."""
        for consumer in self._consumers.values():
            consumer.close()
        self._consumers.clear()
