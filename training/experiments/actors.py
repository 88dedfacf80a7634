"""Closed searches in, what each actor of an experiment did in each variant out.

They are what the label rules left of it: late clicks, duplicates and erased users are out, bots'
searches carry their verdict, and only epochs count that are whole (`CompleteEpochs`), so that sums
agree with those of `search-metrics.v1`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from sightline.engine.event_log.events import events_in
from sightline.engine.label_data.complete_epochs import CompleteEpochs
from sightline.engine.records import Message
from sightline.schemas.labels import EpochClosed, SearchClosed, SearchesClosed, Verdict
from sightline.schemas.searches import Team

FIELDS = (
    *("searches", "images_shown", "images_clicked", "clicks"),
    *("searches_converted", "dwell_ms", "dwells"),
    *("treatment_wins", "control_wins", "ties"),
)
"""What is added up of an actor: by the names of `SearchMetricsCounted`, and of interleaved pages
the searches in which either ranking's results got more clicks, or both as many."""
Sums = tuple[int, ...]
"""In the order of `FIELDS`."""
_NOTHING: Sums = (0,) * len(FIELDS)
_Counted = tuple[str, str, Sums | None]
"""Variant, actor, and what the search adds; None: a bot's."""


@dataclass(slots=True)
class VariantSums:
    """One variant: what each actor did, bots apart."""

    people: dict[str, Sums] = field(default_factory=dict)
    """By actor, of searches that were no bot's."""
    actors: set[str] = field(default_factory=set)
    """All who searched, bots too: who was drawn into the variant."""
    bot_searches: int = 0

    def add(self, actor: str, sums: Sums | None) -> None:
        """Count one search of an actor; without sums: of a bot."""
        self.actors.add(actor)
        if sums is None:
            self.bot_searches += 1
            return
        before = self.people.get(actor, _NOTHING)
        self.people[actor] = tuple(map(sum, zip(before, sums, strict=True)))

    def column(self, name: str) -> NDArray[np.float64]:
        """One sum of all people: (people,), in the same order for each name."""
        place = FIELDS.index(name)
        return np.array([sums[place] for sums in self.people.values()], np.float64)


@dataclass(slots=True)
class ExperimentSums:
    """All variants of an experiment, and whether the log still holds its beginning."""

    variants: Mapping[str, VariantSums]
    whole_since: datetime | None = None
    """Everything from then on was read, which may be later than the beginning; None: no epoch has
    closed."""
    whole_until: datetime | None = None
    """The end of the newest epoch that counts; None: none does."""


def sums_of(
    messages: Iterable[Message],
    variants: Iterable[str],
    *,
    since: datetime,
    targets: int,
    epoch_ms: int,
) -> ExperimentSums:
    """Add up whole epochs.

    Args:
        messages: of the topic of closed searches, each partition in order; unreadable ones are
            passed over, as they are dead letters of the miner.
        variants: which are counted.
        since: searches issued before it are of something else of the same name.
        targets: partitions of that topic.
        epoch_ms: length of an epoch.
    """
    return _Folding(tuple(variants), since, targets, epoch_ms).over(messages)


class _Folding:
    def __init__(
        self, variants: tuple[str, ...], since: datetime, targets: int, epoch_ms: int
    ) -> None:
        self._sums = {variant: VariantSums() for variant in variants}
        self._since = since
        self._epoch = timedelta(milliseconds=epoch_ms)
        self._epochs = CompleteEpochs[_Counted](targets)
        self._last: int | None = None

    def over(self, messages: Iterable[Message]) -> ExperimentSums:
        for message, event in events_in(messages):
            data = event.data
            if isinstance(data, SearchesClosed):
                self._hold(message.partition, data)
            elif isinstance(data, EpochClosed):
                self._add_up(message.partition, message.offset, data)
        begins = self._epochs.begins
        return ExperimentSums(
            variants=self._sums,
            whole_since=self._start_of(max(begins.values())) if begins else None,
            whole_until=None if self._last is None else self._start_of(self._last + 1),
        )

    def _hold(self, partition: int, closed: SearchesClosed) -> None:
        if self._epochs.wants(partition, closed.source_partition, closed.epoch):
            searches = (
                (search.search_id, (search.variant, search.actor_id, added(search)))
                for search in closed.searches
                if search.variant in self._sums and search.issued_at >= self._since
            )
            self._epochs.hold(closed.source_partition, closed.epoch, searches)

    def _add_up(self, partition: int, offset: int, marker: EpochClosed) -> None:
        for whole in self._epochs.mark(partition, offset, marker):
            self._last = whole.epoch if self._last is None else max(self._last, whole.epoch)
            for variant, actor, sums in whole.searches.values():
                self._sums[variant].add(actor, sums)
        self._epochs.told(marker.source_partition)

    def _start_of(self, epoch: int) -> datetime:
        return datetime.fromtimestamp(0, self._since.tzinfo) + epoch * self._epoch


def added(search: SearchClosed) -> Sums | None:
    """What one search adds to its actor; None: a bot's."""
    if search.verdict is not Verdict.PERSON:
        return None
    clicked = [image for image in search.shown if image.clicks]
    dwells = [image.dwell_ms for image in clicked if image.dwell_ms is not None]
    return (
        1,
        len(search.shown),
        len(clicked),
        sum(image.clicks for image in search.shown),
        int(any(image.conversions for image in search.shown)),
        sum(dwells),
        len(dwells),
        *_won(search),
    )


def _won(search: SearchClosed) -> tuple[int, int, int]:
    """Whether treatment or control won the search, or they share it."""
    treatment = sum(image.clicks for image in search.shown if image.team is Team.TREATMENT)
    control = sum(image.clicks for image in search.shown if image.team is Team.CONTROL)
    return int(treatment > control), int(treatment < control), int(treatment == control > 0)
