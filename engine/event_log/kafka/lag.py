"""How far a consumer group is behind: committed offsets, ends, and how long the next one waits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from confluent_kafka import KafkaException, TopicPartition

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka.clients import ended, open_reader
from sightline.engine.event_log.kafka.config import error_of
from sightline.engine.event_log.kafka.producer import timestamp_of
from sightline.engine.event_log.kafka.settling import committed_offsets, watermarks
from sightline.engine.records import PartitionLag
from sightline.engine.settings import KafkaSettings

_TIMEOUT_S = 10.0
_OFFSET_UNSET = 0
"""Negative offsets are librdkafka's words for "nothing committed"."""


class LagReader:
    """Looks at a group from outside, without joining it."""

    def __init__(self, settings: KafkaSettings, *, group: str) -> None:
        self._prefix = settings.topic_prefix
        self._consumer = open_reader(settings, group)

    def read(self, topics: Sequence[str], *, ages: bool = True) -> list[PartitionLag]:
        """The lag of every partition; topics that do not exist are left out.

        Args:
            topics: unprefixed names.
            ages: also look up how long the first uncommitted message waits (one fetch each).

        Raises:
            PartUnavailable: the broker did not answer.
        """
        try:
            return [self._lag(p, ages=ages) for p in self._committed(topics)]
        except KafkaException as error:
            raise error_of(error, "reading lag") from error

    def close(self) -> None:
        """Closes the connection to the broker; the reader is of no use afterwards."""
        self._consumer.close()

    def _committed(self, topics: Sequence[str]) -> list[TopicPartition]:
        known = self._consumer.list_topics(timeout=_TIMEOUT_S).topics
        partitions = [
            TopicPartition(self._prefix + topic, partition)
            for topic in topics
            if self._prefix + topic in known
            for partition in known[self._prefix + topic].partitions
        ]
        if not partitions:
            return []
        return committed_offsets(self._consumer, partitions, timeout_s=_TIMEOUT_S)

    def _lag(self, at: TopicPartition, *, ages: bool) -> PartitionLag:
        start, end = watermarks(self._consumer, at, timeout_s=_TIMEOUT_S)
        committed = at.offset if _OFFSET_UNSET <= at.offset <= end else None
        first = max(start, committed or 0)
        oldest = self._time_of(at, first) if ages and first < end else None
        return PartitionLag(
            topic=at.topic.removeprefix(self._prefix),
            partition=at.partition,
            start=start,
            committed=committed,
            # What follows may be the end of a transaction only, which nobody can read.
            end=first if ages and oldest is None else end,
            oldest_waiting=oldest,
        )

    def _time_of(self, at: TopicPartition, offset: int) -> datetime | None:
        self._consumer.assign([TopicPartition(at.topic, at.partition, offset)])
        try:
            message = self._consumer.poll(_TIMEOUT_S)
        finally:
            self._consumer.unassign()
        if message is None:
            raise PartUnavailable(Part.BROKER, f"nothing came from {at.topic}/{at.partition}")
        return None if ended(message) else timestamp_of(message)
