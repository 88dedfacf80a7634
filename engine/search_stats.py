"""`search-metrics.v1` in, sums and rates by day, week or month out (docs/labels-data.md).

The topic holds absolute values per (variant, model, epoch, source partition); a repeat of a key
replaces it. Readers add up. Days, weeks (from Monday) and months are UTC.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sightline.schemas.search_metrics import SearchMetricsCounted

SUMS = (
    *("searches", "bot_searches", "empty_searches", "images_shown", "images_clicked", "clicks"),
    *("likes", "shares", "conversions", "searches_converted", "dwell_ms", "dwells"),
)
"""Fields of `SearchMetricsCounted` that are added up."""


class Period(StrEnum):
    """What epochs are folded into."""

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
class Folded:
    """Sums over the epochs of one period, variant and model."""

    start: datetime | None
    variant: str
    model_digest: str
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SUMS, 0))
    user_days: set[tuple[int, str]] = field(default_factory=set)
    user_days_omitted: int = 0

    def add(self, counted: SearchMetricsCounted) -> None:
        """Add one epoch of one source partition."""
        for name in SUMS:
            self.sums[name] += getattr(counted, name)
        day = counted.epoch_start.toordinal()
        self.user_days.update((day, actor) for actor in counted.actors)
        self.user_days_omitted += counted.actors_omitted

    @property
    def figures(self) -> dict[str, float | None]:
        """Rates; None where there is nothing to divide by."""
        sums = self.sums
        days = len(self.user_days) + self.user_days_omitted
        return {
            "ctr": _ratio(sums["images_clicked"], sums["images_shown"]),
            "clicks_per_search": _ratio(sums["clicks"], sums["searches"]),
            "conversion_rate": _ratio(sums["searches_converted"], sums["searches"]),
            "empty_rate": _ratio(sums["empty_searches"], sums["searches"]),
            "dwell_mean_s": _ratio(sums["dwell_ms"] / 1_000, sums["dwells"]),
            "dwell_per_user_day_s": _ratio(sums["dwell_ms"] / 1_000, days),
        }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


class SearchStats:
    """The metrics known so far; safe to use from several threads."""

    def __init__(self) -> None:
        self._counted: dict[str, SearchMetricsCounted] = {}
        self._lock = threading.Lock()

    def add(self, counted: SearchMetricsCounted) -> None:
        """Take one record; a repeat of its key replaces what was there."""
        with self._lock:
            self._counted[counted.subject] = counted

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
            since: only epochs that began at or after this instant.
            until: only epochs that began before this instant.
        """
        folded: dict[tuple[str, str, str], Folded] = {}
        for counted in self._between(since, until):
            start = period.start_of(counted.epoch_start)
            key = (start.isoformat() if start else "", counted.variant, counted.model_digest)
            if key not in folded:
                folded[key] = Folded(start, counted.variant, counted.model_digest)
            folded[key].add(counted)
        return [folded[key] for key in sorted(folded)]

    def _between(
        self, since: datetime | None, until: datetime | None
    ) -> Iterable[SearchMetricsCounted]:
        def wanted(at: datetime) -> bool:
            return (since is None or at >= since) and (until is None or at < until)

        with self._lock:
            return [one for one in self._counted.values() if wanted(one.epoch_start)]
