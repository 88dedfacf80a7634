"""Metrics of the process and sums of closed searches in, what a roll-out is judged by out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sightline.engine.label_data.search_stats import Period, SearchStats
from sightline.schemas.indexed import Lane
from sightline.stream_workers.rolling_out.figures import ServingFigures

if TYPE_CHECKING:
    from sightline.engine.metrics import Metrics

_SEARCH = "/v1/search"
_FAILED = 500
LEAST_BEFORE = timedelta(days=1)
"""Clicks rise and fall with the hour of the day."""


@dataclass(frozen=True, slots=True)
class Clicks:
    """What people were shown and clicked, of one model's answers."""

    shown: int = 0
    clicked: int = 0


def counted(metrics: Metrics) -> ServingFigures:
    """Searches and images of this process since it began."""
    searches = [
        (int(labels["status"]), int(value))
        for labels, value in _samples(metrics.requests, "_total")
        if labels["route"] == _SEARCH
    ]
    images = _of_live(metrics.freshness, "_count")
    return ServingFigures(
        searches=sum(count for _, count in searches),
        failed=sum(count for status, count in searches if status >= _FAILED),
        images=int(images),
        delay_s=_of_live(metrics.freshness, "_sum"),
    )


def since(base: ServingFigures, now: ServingFigures) -> ServingFigures:
    """What a process counted after it had counted `base`."""
    return ServingFigures(
        searches=now.searches - base.searches,
        failed=now.failed - base.failed,
        images=now.images - base.images,
        delay_s=max(0.0, now.delay_s - base.delay_s),
    )


def clicks(stats: SearchStats, model_digest: str, begin: datetime, end: datetime) -> Clicks:
    """What came of the closed searches that a model answered, in whole epochs between instants."""
    rows = [
        row.sums
        for row in stats.fold(Period.ALL, since=begin, until=end)
        if row.model_digest == model_digest
    ]
    return Clicks(
        shown=sum(sums["images_shown"] for sums in rows),
        clicked=sum(sums["images_clicked"] for sums in rows),
    )


def with_clicks(figures: ServingFigures, of: Clicks) -> ServingFigures:
    """The same figures, and what people clicked."""
    return figures.model_copy(update={"shown": of.shown, "clicked": of.clicked})


def _of_live(histogram: Any, what: str) -> float:
    return sum(value for labels, value in _samples(histogram, what) if labels["lane"] == Lane.LIVE)


def _samples(metric: Any, suffix: str) -> list[tuple[dict[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in metric.collect()
        for sample in family.samples
        if sample.name.endswith(suffix)
    ]
