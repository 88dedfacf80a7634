"""Closed searches of all partitions in, an epoch's absolute metrics out: pure, without Kafka.

The join writes, per source partition and in order, an epoch's searches to the partitions of their
anchors and then a marker to every partition. So whatever follows a marker of a source in a
partition is complete there up to that source's next marker. An epoch is folded when it is complete
in every partition; one whose beginning was not read is left out: an earlier run has folded it, and
a part of it would overwrite the whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sightline.schemas.labels import EpochClosed, SearchClosed, SearchesClosed, Verdict
from sightline.schemas.search_metrics import MAX_ACTORS, SearchMetricsCounted
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.metrics.daily_actors import DailyActors


class CountedSearch(NamedTuple):
    """What one search adds to the counts of its epoch."""

    variant: str
    model_digest: str
    actor: str
    is_person: bool
    images_shown: int
    images_clicked: int
    clicks: int
    likes: int
    shares: int
    conversions: int
    dwell_ms: int
    dwells: int


class _Mark(NamedTuple):
    epoch: int
    offset: int


@dataclass(slots=True)
class _Source:
    """One source partition: per target partition from where on it is complete, and its markers."""

    floor: dict[int, int] = field(default_factory=dict)
    marks: dict[int, list[_Mark]] = field(default_factory=dict)
    epochs: defaultdict[int, dict[str, CountedSearch]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    done: int = -1


class MetricsFold:
    """State of one topic of closed searches.

    Args:
        source_topic: of the interactions, without prefix.
        targets: how many partitions the topic of closed searches has.
        epoch_ms: length of an epoch.
        actors: names people for a day.
    """

    def __init__(
        self, source_topic: str, *, targets: int, epoch_ms: int, actors: DailyActors
    ) -> None:
        self._source_topic = source_topic
        self._targets = targets
        self._epoch_ms = epoch_ms
        self._actors = actors
        self._sources: defaultdict[int, _Source] = defaultdict(_Source)

    @property
    def open_searches(self) -> int:
        """Counts the searches that are held until their epoch is complete."""
        return sum(len(e) for s in self._sources.values() for e in s.epochs.values())

    def take_searches(self, partition: int, closed: SearchesClosed) -> None:
        """Hold searches of an epoch that is complete in this partition and not folded."""
        source = self._sources[closed.source_partition]
        floor = source.floor.get(partition)
        if floor is None or closed.epoch <= max(floor, source.done):
            return
        held = source.epochs[closed.epoch]
        start = self._start_of(closed.epoch)
        for search in closed.searches:
            actor = self._actors.name(search.actor_id, start)
            held.setdefault(search.search_id, counted(search, actor))

    def take_marker(
        self, partition: int, offset: int, marker: EpochClosed
    ) -> list[SearchMetricsCounted]:
        """What is complete now; repeats of a marker change nothing.

        The caller publishes it, then calls `published`.
        """
        source = self._sources[marker.source_partition]
        source.floor.setdefault(partition, marker.epoch)
        marks = source.marks.setdefault(partition, [])
        if not marks or marker.epoch > marks[-1].epoch:
            marks.append(_Mark(marker.epoch, offset))
        if len(source.marks) < self._targets:
            return []
        begun = max(source.floor.values())
        ended = self._ended(source)
        complete = sorted(e for e in source.epochs if max(begun, source.done) < e <= ended)
        return [
            metrics
            for epoch in complete
            for metrics in self._metrics(marker.source_partition, epoch, source.epochs[epoch])
        ]

    def published(self, source_partition: int) -> None:
        """Everything that was complete is acknowledged: forget it."""
        source = self._sources[source_partition]
        if len(source.marks) < self._targets:
            return
        source.done = max(source.done, self._ended(source))
        for epoch in [e for e in source.epochs if e <= source.done]:
            del source.epochs[epoch]
        for marks in source.marks.values():
            while len(marks) > 1 and marks[1].epoch <= source.done:
                marks.pop(0)

    def safe_offsets(self) -> dict[int, int]:
        """Per partition the lowest of the latest folded markers of the sources."""
        safe: dict[int, int] = {}
        for source in self._sources.values():
            for partition, marks in source.marks.items():
                safe[partition] = min(safe.get(partition, marks[0].offset), marks[0].offset)
        return safe

    def _start_of(self, epoch: int) -> datetime:
        return instants.moment(epoch * self._epoch_ms)

    @staticmethod
    def _ended(source: _Source) -> int:
        """The newest epoch of which every partition has said that it is closed."""
        return min(marks[-1].epoch for marks in source.marks.values())

    def _metrics(
        self, source_partition: int, epoch: int, searches: dict[str, CountedSearch]
    ) -> Iterator[SearchMetricsCounted]:
        groups: defaultdict[tuple[str, str], list[CountedSearch]] = defaultdict(list)
        for search in searches.values():
            groups[search.variant, search.model_digest].append(search)
        for (variant, model_digest), group in sorted(groups.items()):
            yield SearchMetricsCounted(
                variant=variant,
                model_digest=model_digest,
                epoch=epoch,
                epoch_start=self._start_of(epoch),
                source_topic=self._source_topic,
                source_partition=source_partition,
                **_sums(group),
            )


def counted(search: SearchClosed, actor: str) -> CountedSearch:
    """What one closed search adds: an image that was clicked twice is one clicked image.

    Args:
        search: as the join closed it.
        actor: its actor's name of the day.
    """
    clicked = [image for image in search.shown if image.clicks]
    dwells = [image.dwell_ms for image in clicked if image.dwell_ms is not None]
    return CountedSearch(
        variant=search.variant,
        model_digest=search.model_digest,
        actor=actor,
        is_person=search.verdict is Verdict.PERSON,
        images_shown=len(search.shown),
        images_clicked=len(clicked),
        clicks=sum(image.clicks for image in search.shown),
        likes=sum(image.likes for image in search.shown),
        shares=sum(image.shares for image in search.shown),
        conversions=sum(image.conversions for image in search.shown),
        dwell_ms=sum(dwells),
        dwells=len(dwells),
    )


def _sums(group: list[CountedSearch]) -> dict[str, int | tuple[str, ...]]:
    """Bots are counted apart and nowhere else."""
    people = [search for search in group if search.is_person]
    actors = sorted({search.actor for search in people})
    sums: dict[str, int | tuple[str, ...]] = {
        name: sum(getattr(search, name) for search in people)
        for name in CountedSearch._fields
        if name not in {"variant", "model_digest", "actor", "is_person"}
    }
    return sums | {
        "searches": len(people),
        "bot_searches": len(group) - len(people),
        "empty_searches": sum(not search.images_shown for search in people),
        "searches_converted": sum(search.conversions > 0 for search in people),
        "actors": tuple(actors[:MAX_ACTORS]),
        "actors_omitted": max(0, len(actors) - MAX_ACTORS),
    }
