"""Records of the event log as they are appended and read, and how far a group is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class TopicPartition(NamedTuple):
    """One partition of one topic, the topic named without the deployment's prefix."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One record of the log, as it was read, and where it lies."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: datetime
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def topic_partition(self) -> TopicPartition:
        """Names the topic and the partition that the record was read from."""
        return TopicPartition(self.topic, self.partition)

    @property
    def key_text(self) -> str:
        """The key as text; empty if there is none, and what is no UTF-8 in it replaced."""
        return (self.key or b"").decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """One partition as a consumer group sees it."""

    topic: str
    partition: int
    start: int
    committed: int | None
    """The next offset to read; None: nothing was committed, or it was in a topic of before."""
    end: int
    oldest_waiting: datetime | None
    """Log time of the first message that is not committed; None: none waits, or nobody asked."""

    @property
    def lag(self) -> int:
        """Messages that are appended but not committed."""
        return self.end - max(self.start, self.committed if self.committed is not None else 0)


class ProducerRecord(NamedTuple):
    """One record for the log, as Kafka's own clients call it: what an `EventProducer` appends."""

    topic: str
    """The name in `schemas/topics.py`; the adapter adds the deployment's prefix."""
    key: str
    """Chooses the partition, by murmur2."""
    value: bytes | None
    """None makes compaction forget the key."""
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: datetime | None = None
    """None: the present instant; a topic with LogAppendTime stamps it anyway."""
    partition: int | None = None
    """None: the key's."""
