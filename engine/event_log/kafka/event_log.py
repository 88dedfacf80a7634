"""Reads a Kafka cluster's log outside of any group: the port, over this folder's readers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from sightline.engine.errors import PermanentError
from sightline.engine.event_log.kafka.follower import KafkaFollower
from sightline.engine.event_log.kafka.groups import forget_groups
from sightline.engine.event_log.kafka.lag import read_lag
from sightline.engine.event_log.kafka.last_records import last_records, next_record
from sightline.engine.event_log.kafka.offsets import (
    offsets_since,
    partition_count,
    start_offsets,
)
from sightline.engine.event_log.kafka.whole_topics import read_topics
from sightline.engine.records import Message, PartitionLag, TopicPartition
from sightline.engine.settings import KafkaSettings


class KafkaEventLog:
    """An `EventLog` on a Kafka cluster; each call connects anew and lets go.

    Args:
        settings: the cluster; topics and groups are prefixed on the wire only.
        finds_times: whether the broker finds records by their time; the in-process one, which keeps
            little, is read from its beginning instead. Nor does that one delete groups.
    """

    def __init__(self, settings: KafkaSettings, *, finds_times: bool = True) -> None:
        self._settings = settings
        self._finds_times = finds_times

    def read(
        self, topics: Sequence[str], *, key: str | None = None, since: datetime | None = None
    ) -> Iterator[Message]:
        """See `EventLog.read`."""
        found = read_topics(self._settings, topics, key=key, since=self._searched(since))
        return (m for m in found if since is None or m.timestamp >= since)

    def follow(self, topic: str, starts: Mapping[int, int], *, group: str) -> KafkaFollower:
        """See `EventLog.follow`."""
        return KafkaFollower(self._settings, topic, group=group, starts=starts)

    def partition_count(self, topic: str) -> int:
        """See `EventLog.partition_count`."""
        return partition_count(self._settings, topic)

    def start_offsets(self, group: str, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """See `EventLog.start_offsets`."""
        return start_offsets(self._settings, group, topic, partitions)

    def offsets_since(self, topic: str, since: datetime | None) -> dict[int, int]:
        """See `EventLog.offsets_since`."""
        return offsets_since(self._settings, topic, self._searched(since))

    def last_records(self, topic: str) -> dict[int, Message | None]:
        """See `EventLog.last_records`."""
        return last_records(self._settings, topic)

    def next_record(self, at: TopicPartition, offset: int) -> int:
        """See `EventLog.next_record`."""
        return next_record(self._settings, at, offset)

    def lag(self, group: str, topics: Sequence[str], *, ages: bool = True) -> list[PartitionLag]:
        """See `EventLog.lag`."""
        return read_lag(self._settings, group, topics, ages=ages)

    def forget_groups(self, groups: Collection[str]) -> None:
        """See `EventLog.forget_groups`.

        The in-process broker is not asked: it knows no such request, and librdkafka 2.x aborts the
        process once the client is collected that was told so.
        """
        if not self._finds_times:
            raise PermanentError("the in-process broker deletes no groups: they end with it")
        forget_groups(self._settings, groups)

    def _searched(self, since: datetime | None) -> datetime | None:
        return since if self._finds_times else None
