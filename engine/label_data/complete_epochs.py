"""Closed searches of all partitions in, whole epochs out: what is there, and nothing by halves.

The join writes, per source partition and in order, an epoch's searches to the partitions of their
anchors and then a marker to every partition. So whatever follows a marker of a source in a
partition is complete there up to that source's next marker. An epoch is complete when it is so in
every partition; one whose beginning was not read never is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from sightline.schemas.labels import EpochClosed

T = TypeVar("T")


class WholeEpoch(NamedTuple, Generic[T]):
    """Everything of one epoch that came from one source partition, by search id."""

    source_partition: int
    epoch: int
    searches: dict[str, T]


class _Mark(NamedTuple):
    epoch: int
    offset: int


@dataclass(slots=True)
class _Source(Generic[T]):
    """One source partition: per target partition from where on it is complete, and its markers."""

    floor: dict[int, int] = field(default_factory=dict)
    marks: dict[int, list[_Mark]] = field(default_factory=dict)
    epochs: defaultdict[int, dict[str, T]] = field(default_factory=lambda: defaultdict(dict))
    done: int = -1

    @property
    def ended(self) -> int:
        """The newest epoch of which every partition has said that it is closed."""
        return min(marks[-1].epoch for marks in self.marks.values())


class CompleteEpochs(Generic[T]):
    """Holds what is made of closed searches until their epoch is whole.

    Args:
        targets: how many partitions the topic of closed searches has.
    """

    def __init__(self, targets: int) -> None:
        self._targets = targets
        self._sources: defaultdict[int, _Source[T]] = defaultdict(_Source)

    @property
    def open_searches(self) -> int:
        """Counts the searches that are held until their epoch is whole."""
        return sum(len(e) for s in self._sources.values() for e in s.epochs.values())

    @property
    def begins(self) -> dict[int, int]:
        """Per source partition, the first epoch of which everything was read."""
        return {
            number: max(source.floor.values()) + 1
            for number, source in self._sources.items()
            if source.floor
        }

    def wants(self, partition: int, source_partition: int, epoch: int) -> bool:
        """Whether searches of an epoch count that lie here: it has begun, and was not told yet."""
        source = self._sources[source_partition]
        floor = source.floor.get(partition)
        return floor is not None and epoch > max(floor, source.done)

    def hold(self, source_partition: int, epoch: int, searches: Iterable[tuple[str, T]]) -> None:
        """Keep what was made of searches, by their ids; a repeat of an id changes nothing."""
        held = self._sources[source_partition].epochs[epoch]
        for search_id, one in searches:
            held.setdefault(search_id, one)

    def mark(self, partition: int, offset: int, marker: EpochClosed) -> list[WholeEpoch[T]]:
        """What is whole now, oldest first; the same again until `told`."""
        number = marker.source_partition
        source = self._sources[number]
        source.floor.setdefault(partition, marker.epoch)
        marks = source.marks.setdefault(partition, [])
        if not marks or marker.epoch > marks[-1].epoch:
            marks.append(_Mark(marker.epoch, offset))
        if len(source.marks) < self._targets:
            return []
        begun = max(*source.floor.values(), source.done)
        whole = sorted(epoch for epoch in source.epochs if begun < epoch <= source.ended)
        return [WholeEpoch(number, epoch, source.epochs[epoch]) for epoch in whole]

    def told(self, source_partition: int) -> None:
        """Everything of a source that was whole is taken care of: forget it."""
        source = self._sources[source_partition]
        if len(source.marks) < self._targets:
            return
        source.done = max(source.done, source.ended)
        for epoch in [epoch for epoch in source.epochs if epoch <= source.done]:
            del source.epochs[epoch]
        for marks in source.marks.values():
            while len(marks) > 1 and marks[1].epoch <= source.done:
                marks.pop(0)

    def safe_offsets(self) -> dict[int, int]:
        """Per partition the lowest of the latest markers of the sources that were told."""
        safe: dict[int, int] = {}
        for source in self._sources.values():
            for partition, marks in source.marks.items():
                safe[partition] = min(safe.get(partition, marks[0].offset), marks[0].offset)
        return safe
