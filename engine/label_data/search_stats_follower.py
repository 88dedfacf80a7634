"""Keeps `SearchStats` at the end of `search-metrics.v1`, and its last day in Prometheus."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

from sightline.engine.event_log.following import follow_until
from sightline.engine.label_data.search_stats import Period, SearchStats
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, LogFollower
from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError
from sightline.schemas.registry import decode
from sightline.schemas.search_metrics import SearchMetricsCounted

GAUGES_S = 15.0
DAY = timedelta(days=1)
_log = logging.getLogger(__name__)


class SearchStatsFollower:
    """Reads on until it is told to stop; `stats` is what it knows.

    Args:
        follow: opens the topic at its beginning.
        clock: decides which epochs are of the last day.
        metrics: of the process.
    """

    def __init__(
        self, follow: Callable[[], LogFollower], *, clock: Clock, metrics: Metrics
    ) -> None:
        self._follow = follow
        self._clock = clock
        self._metrics = metrics
        self._shown_at = clock.monotonic() - GAUGES_S
        self.stats = SearchStats()

    def run(self, stop: threading.Event) -> None:
        """Follow; waits out a broker that is down."""
        follow_until(stop, self._follow, self.take, who="search statistics")

    def take(self, messages: Sequence[Message]) -> None:
        """Add what came, and now and then show the day."""
        for message in messages:
            self._add(message)
        if self._clock.monotonic() - self._shown_at >= GAUGES_S:
            self._shown_at = self._clock.monotonic()
            self.show_day()

    def show_day(self) -> None:
        """Set the gauges to the figures of the last 24 h."""
        self._metrics.online_day.clear()
        for folded in self.stats.fold(Period.ALL, since=self._clock.now() - DAY):
            for name, value in folded.figures.items():
                if value is not None:
                    labels = (folded.variant, folded.model_digest, name)
                    self._metrics.online_day.labels(*labels).set(value)

    def _add(self, message: Message) -> None:
        try:
            data = decode(message.value).data
        except ContractError as error:
            _log.warning("an unreadable record at %s: %s", message.offset, error)
            return
        if isinstance(data, SearchMetricsCounted):
            self.stats.add(data)
