"""Keeps `SearchStats` at the end of `search-metrics.v1`, and its last day in Prometheus."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from sightline.engine.backoff import Backoff, retry_transient
from sightline.engine.errors import TransientError
from sightline.engine.label_data.search_stats import Period, SearchStats
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError
from sightline.schemas.registry import decode
from sightline.schemas.search_metrics import SearchMetricsCounted

POLL_MESSAGES, POLL_S = 2_000, 0.5
GAUGES_S = 15.0
DAY = timedelta(days=1)
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 10.0
_log = logging.getLogger(__name__)


class Follower(Protocol):
    """Reads the whole topic from its beginning (`event_log.kafka.follower`)."""

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """Up to `max_messages` that are there within `timeout_s`. Raises `PartUnavailable`."""

    def close(self) -> None:
        """Let go; repeated calls do nothing."""


class SearchStatsFollower:
    """Reads on until it is told to stop; `stats` is what it knows.

    Args:
        follow: opens the topic at its beginning.
        clock: decides which epochs are of the last day.
        metrics: of the process.
    """

    def __init__(self, follow: Callable[[], Follower], *, clock: Clock, metrics: Metrics) -> None:
        self._follow = follow
        self._clock = clock
        self._metrics = metrics
        self.stats = SearchStats()

    def run(self, stop: threading.Event) -> None:
        """Follow; waits out a broker that is down."""
        backoff = Backoff(initial_s=FIRST_RETRY_S, maximum_s=LONGEST_RETRY_S)
        try:
            follower = retry_transient(self._follow, backoff=backoff, stop=stop, failed=_failed)
        except TransientError:
            return
        try:
            self._read(follower, stop)
        finally:
            follower.close()

    def _read(self, follower: Follower, stop: threading.Event) -> None:
        shown_at = self._clock.monotonic() - GAUGES_S
        while not stop.is_set():
            try:
                messages = follower.poll(POLL_MESSAGES, POLL_S)
            except TransientError as error:
                _failed(error)
                stop.wait(POLL_S)
                continue
            for message in messages:
                self._take(message)
            if self._clock.monotonic() - shown_at >= GAUGES_S:
                shown_at = self._clock.monotonic()
                self.show_day()

    def show_day(self) -> None:
        """Set the gauges to the figures of the last 24 h."""
        self._metrics.online_day.clear()
        for folded in self.stats.fold(Period.ALL, since=self._clock.now() - DAY):
            for name, value in folded.figures.items():
                if value is not None:
                    labels = (folded.variant, folded.model_digest, name)
                    self._metrics.online_day.labels(*labels).set(value)

    def _take(self, message: Message) -> None:
        try:
            data = decode(message.value).data
        except ContractError as error:
            _log.warning("an unreadable record at %s: %s", message.offset, error)
            return
        if isinstance(data, SearchMetricsCounted):
            self.stats.add(data)


def _failed(error: TransientError) -> None:
    _log.warning("search statistics wait: %s", error)
