"""Reads the log in memory outside of any group."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime

from sightline.engine.errors import Part, PartUnavailable, RefusedToStart
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.reader import MemoryReader
from sightline.engine.event_log.partitions import committed_within, partition_of, start_within
from sightline.engine.records import Message, PartitionLag, TopicPartition


class MemoryEventLog:
    """An `EventLog` on a broker in memory.

    Args:
        broker: holds the log.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def read(
        self, topics: Sequence[str], *, key: str | None = None, since: datetime | None = None
    ) -> Iterator[Message]:
        """See `EventLog.read`."""
        for message in self._all(topics, key):
            if since is None or message.timestamp >= since:
                yield message

    def follow(self, topic: str, starts: Mapping[int, int], *, group: str) -> MemoryFollower:
        """See `EventLog.follow`."""
        places = {TopicPartition(topic, number): start for number, start in starts.items()}
        return MemoryFollower(self._broker, places, group)

    def partition_count(self, topic: str) -> int:
        """See `EventLog.partition_count`."""
        count = len(self._partitions(topic))
        if not count:
            raise RefusedToStart(f"there is no topic {topic} in memory")
        return count

    def start_offsets(self, group: str, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """See `EventLog.start_offsets`."""
        with self._broker.changed:
            committed = self._broker.group(group).committed
            found = {
                at: self._broker.partition(at)
                for at in self._partitions(topic)
                if at.partition in partitions
            }
            return {
                at.partition: start_within(committed.get(at, 0), start=held.start, end=held.end)
                for at, held in found.items()
            }

    def offsets_since(self, topic: str, since: datetime | None) -> dict[int, int]:
        """See `EventLog.offsets_since`."""
        with self._broker.changed:
            return {at.partition: self._since(at, since) for at in self._partitions(topic)}

    def last_records(self, topic: str) -> dict[int, Message | None]:
        """See `EventLog.last_records`."""
        with self._broker.changed:
            found = {at: self._broker.partition(at).records for at in self._partitions(topic)}
            return {at.partition: held[-1] if held else None for at, held in found.items()}

    def next_record(self, at: TopicPartition, offset: int) -> int:
        """See `EventLog.next_record`."""
        self._broker.refuse_if_down()
        with self._broker.changed:
            found = self._broker.partition(at).after(offset, 1)
            return found[0].offset if found else self._broker.partition(at).end

    def lag(self, group: str, topics: Sequence[str], *, ages: bool = True) -> list[PartitionLag]:
        """See `EventLog.lag`."""
        with self._broker.changed:
            places = [at for topic in topics for at in self._partitions(topic)]
            return [self._lag(group, at, ages=ages) for at in places]

    def forget_groups(self, groups: Collection[str]) -> None:
        """See `EventLog.forget_groups`."""
        self._broker.refuse_if_down()
        with self._broker.changed:
            for name in groups:
                if self._broker.group(name).has_members:
                    raise PartUnavailable(Part.BROKER, f"deleting group {name}: it has members")
                del self._broker.groups[name]

    def _all(self, topics: Sequence[str], key: str | None) -> list[Message]:
        with self._broker.changed:
            places = [self._partitions(topic) for topic in topics]
            if key is not None:
                places = [[theirs[partition_of(key, len(theirs))]] for theirs in places if theirs]
            return [m for theirs in places for at in theirs for m in self._held(at)]

    def _held(self, at: TopicPartition) -> list[Message]:
        return self._broker.partition(at).records

    def _partitions(self, topic: str) -> list[TopicPartition]:
        self._broker.refuse_if_down()
        return self._broker.partitions(topic)

    def _since(self, at: TopicPartition, since: datetime | None) -> int:
        if since is None:
            return 0
        later = (m.offset for m in self._held(at) if m.timestamp >= since)
        return next(later, self._broker.partition(at).end)

    def _lag(self, group: str, at: TopicPartition, *, ages: bool) -> PartitionLag:
        partition = self._broker.partition(at)
        committed = self._broker.group(group).committed.get(at, -1)
        first = start_within(committed, start=partition.start, end=partition.end)
        waiting = partition.after(first, 1)
        return PartitionLag(
            topic=at.topic,
            partition=at.partition,
            start=partition.start,
            committed=committed_within(committed, end=partition.end),
            end=partition.end if waiting or not ages else first,
            oldest_waiting=waiting[0].timestamp if ages and waiting else None,
        )


class MemoryFollower:
    """A `LogFollower` on a broker in memory.

    Args:
        broker: holds the log.
        starts: the first offset to read, per partition.
        group: under which its offsets are committed.
    """

    def __init__(
        self, broker: MemoryBroker, starts: Mapping[TopicPartition, int], group: str
    ) -> None:
        self._broker = broker
        self._group = group
        self._reader = MemoryReader(broker)
        for at, start in starts.items():
            self._reader.start(at, start)

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """See `LogFollower.poll`."""
        return self._reader.poll(max_messages, timeout_s)

    def ask(self) -> None:
        """See `LogFollower.ask`."""
        self._broker.refuse_if_down()

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `LogFollower.commit`."""
        self._broker.refuse_if_down()
        with self._broker.changed:
            self._broker.group(self._group).committed |= offsets

    def close(self) -> None:
        """See `LogFollower.close`: nothing is held."""
