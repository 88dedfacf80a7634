"""Closed searches of all partitions in, an epoch's absolute metrics out: pure, without Kafka.

An epoch is folded when it is complete in every partition (`CompleteEpochs`); one whose beginning
was not read is left out: an earlier run has folded it, and a part of it would overwrite the whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from sightline.engine.label_data.complete_epochs import CompleteEpochs
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
        self._epoch_ms = epoch_ms
        self._actors = actors
        self._epochs = CompleteEpochs[CountedSearch](targets)

    @property
    def open_searches(self) -> int:
        """Counts the searches that are held until their epoch is complete."""
        return self._epochs.open_searches

    def take_searches(self, partition: int, closed: SearchesClosed) -> None:
        """Hold searches of an epoch that is complete in this partition and not folded."""
        if not self._epochs.wants(partition, closed.source_partition, closed.epoch):
            return
        start = self._start_of(closed.epoch)
        searches = (
            (search.search_id, figures_of_search(search, self._actors.name(search.actor_id, start)))
            for search in closed.searches
        )
        self._epochs.hold(closed.source_partition, closed.epoch, searches)

    def take_marker(
        self, partition: int, offset: int, marker: EpochClosed
    ) -> list[SearchMetricsCounted]:
        """What is complete now; repeats of a marker change nothing.

        The caller publishes it, then calls `published`.
        """
        return [
            metrics
            for source_partition, epoch, searches in self._epochs.mark(partition, offset, marker)
            for metrics in self._metrics(source_partition, epoch, searches)
        ]

    def published(self, source_partition: int) -> None:
        """Everything that was complete is acknowledged: forget it."""
        self._epochs.told(source_partition)

    def safe_offsets(self) -> dict[int, int]:
        """Per partition the lowest of the latest folded markers of the sources."""
        return self._epochs.safe_offsets()

    def _start_of(self, epoch: int) -> datetime:
        return instants.moment(epoch * self._epoch_ms)

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


def figures_of_search(search: SearchClosed, actor: str) -> CountedSearch:
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
