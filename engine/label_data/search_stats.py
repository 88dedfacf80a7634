"""`search-metrics.v1` in, sums and rates by day, week or month out (docs/labels-data.md).

The topic holds absolute values per (variant, model, epoch, source partition); a repeat of a key
replaces it. Readers add up. Days, weeks (from Monday) and months are UTC.

In memory the last two days are kept by record, older ones by day, variant and model: a dozen sums,
and eight bytes for each person and each record of the day.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b

from sightline.engine.label_data.packed_digests import PackedDigests
from sightline.schemas.search_metrics import SearchMetricsCounted

SUMS = (
    *("searches", "bot_searches", "empty_searches", "images_shown", "images_clicked", "clicks"),
    *("likes", "shares", "conversions", "searches_converted", "dwell_ms", "dwells"),
)
"""Fields of `SearchMetricsCounted` that are added up."""
RECENT = timedelta(days=2)
"""Back from the newest epoch, to the day's beginning: kept by record."""
_FIRST = datetime.min.replace(tzinfo=UTC) + RECENT


class Period(StrEnum):
    """How long a span of time one row of the statistics covers."""

    ALL = "all"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def start_of(self, moment: datetime) -> datetime | None:
        """When the period that holds this instant began; None: always."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        match self:
            case Period.DAY:
                return day
            case Period.WEEK:
                return day - timedelta(days=day.weekday())
            case Period.MONTH:
                return day.replace(day=1)
            case Period.ALL:
                return None


@dataclass(slots=True)
class DayCounts:
    """Sums over one day, variant and model, of which the records are not kept."""

    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    people: PackedDigests = field(default_factory=PackedDigests)
    people_omitted: int = 0
    keys: PackedDigests = field(default_factory=PackedDigests)

    def add(self, counted: SearchMetricsCounted) -> None:
        """Add one epoch of one source partition; a repeat changes nothing."""
        key = int.from_bytes(blake2b(counted.subject.encode(), digest_size=8).digest())
        if key in self.keys:
            return
        self.keys.update([key])
        for name in SUMS:
            self.sums[name] += getattr(counted, name)
        self.people.update(int(actor, 16) for actor in counted.actors)
        self.people_omitted += counted.actors_omitted


@dataclass(slots=True)
class Folded:
    """Sums over the epochs of one period, variant and model."""

    start: datetime | None
    variant: str
    model_digest: str
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    _people: set[tuple[int, str]] = field(default_factory=set)
    _more_people: int = 0

    def add(self, counted: SearchMetricsCounted) -> None:
        """Add one epoch of one source partition."""
        for name in SUMS:
            self.sums[name] += getattr(counted, name)
        day = counted.epoch_start.toordinal()
        self._people.update((day, actor) for actor in counted.actors)
        self._more_people += counted.actors_omitted

    def add_day(self, day: DayCounts) -> None:
        """Adds the counts of one whole day to the sums."""
        for name in SUMS:
            self.sums[name] += day.sums[name]
        self._more_people += len(day.people) + day.people_omitted

    @property
    def user_days(self) -> int:
        """Distinct people per day, added up over the days."""
        return len(self._people) + self._more_people

    @property
    def figures(self) -> dict[str, float | None]:
        """Rates; None where there is nothing to divide by."""
        sums = self.sums
        return {
            "ctr": _ratio(sums["images_clicked"], sums["images_shown"]),
            "clicks_per_search": _ratio(sums["clicks"], sums["searches"]),
            "conversion_rate": _ratio(sums["searches_converted"], sums["searches"]),
            "empty_rate": _ratio(sums["empty_searches"], sums["searches"]),
            "dwell_mean_s": _ratio(sums["dwell_ms"] / 1_000, sums["dwells"]),
            "dwell_per_user_day_s": _ratio(sums["dwell_ms"] / 1_000, self.user_days),
        }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


class SearchStats:
    """The metrics known so far; safe to use from several threads."""

    def __init__(self) -> None:
        self._recent: dict[str, SearchMetricsCounted] = {}
        self._days: dict[tuple[datetime, str, str], DayCounts] = {}
        self._whole_days_before = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def add(self, counted: SearchMetricsCounted) -> None:
        """Take one record; a repeat of its key replaces what was there, days ago it is the same."""
        with self._lock:
            self._recent[counted.subject] = counted
            border = _day_of(max(counted.epoch_start, _FIRST) - RECENT)
            if border > self._whole_days_before:
                self._whole_days_before = border
                self._pack(list(self._recent.values()))
            else:
                self._pack([counted])

    def fold(
        self,
        period: Period,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Folded]:
        """Sums by period, variant and model, in that order.

        Args:
            period: what epochs are folded into.
            since: only epochs that began at or after this instant; of days that are not kept by
                record, only those that began then or later.
            until: only epochs, or such days, that began before this instant.
        """
        folded: dict[tuple[str, str, str], Folded] = {}

        def into(at: datetime, variant: str, model_digest: str) -> Folded:
            start = period.start_of(at)
            key = (start.isoformat() if start else "", variant, model_digest)
            return folded.setdefault(key, Folded(start, variant, model_digest))

        def wanted(at: datetime) -> bool:
            return (since is None or at >= since) and (until is None or at < until)

        with self._lock:
            for (at, variant, model_digest), day in self._days.items():
                if wanted(at):
                    into(at, variant, model_digest).add_day(day)
            for one in self._recent.values():
                if wanted(one.epoch_start):
                    into(one.epoch_start, one.variant, one.model_digest).add(one)
        return [folded[key] for key in sorted(folded)]

    def _pack(self, records: Iterable[SearchMetricsCounted]) -> None:
        """Move those of whole days into their days."""
        for one in records:
            if one.epoch_start < self._whole_days_before:
                key = (_day_of(one.epoch_start), one.variant, one.model_digest)
                self._days.setdefault(key, DayCounts()).add(one)
                del self._recent[one.subject]


def _day_of(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
