"""A few searches in, the part of an exact scan's results that the index finds out, as metrics.

It runs behind the answers, on a thread of its own: one search at a time, by the rate of the
settings, only while hardly anything else is asked, and so seldom that the scans of a large index
take half a percent of the time at most. What does not fit is passed over; nothing waits.
"""

from __future__ import annotations

import logging
import math
import threading
from concurrent.futures import Executor
from dataclasses import dataclass, replace

from sightline.engine.errors import PartUnavailable, SightlineError
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.records import SearchRequest, TagFilter
from sightline.engine.vector_index.visible import VisibleIndex

QUIET = 2
"""A check begins only while at most so many searches are being answered."""
REST = 200.0
"""For every second that a check took, so many pass before the next."""
_ROUNDING = 1e-5
"""Scores of one image that was asked for in two ways differ by less."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A search that was answered, as the index was asked."""

    index: VisibleIndex
    request: SearchRequest
    model: str
    """The digest of what answered."""


class RecallChecks:
    """Asks now and then once more what was asked, exactly and not; safe from several threads.

    Args:
        per_minute: at most so many; 0: none.
        threads: of the checks alone.
        clock: says when the next one is due.
        metrics: count them and what they found.
    """

    def __init__(
        self, *, per_minute: float, threads: Executor, clock: Clock, metrics: Metrics
    ) -> None:
        self._every_s = 60.0 / per_minute if per_minute else math.inf
        self._threads = threads
        self._clock = clock
        self._metrics = metrics
        self._due_s = clock.monotonic() + self._every_s
        self._running = False
        self._lock = threading.Lock()

    def offer(self, sampled: Sampled, *, under_way: int) -> None:
        """Check this search if one is due, or pass it over; returns at once.

        Args:
            sampled: the search; one that was exact says nothing of the index.
            under_way: searches that are being answered, or wait to be.
        """
        if sampled.request.exact or under_way > QUIET or not self._take():
            return
        try:
            self._threads.submit(self._check, sampled)
        except PartUnavailable:  # the API stops
            return

    def _take(self) -> bool:
        with self._lock:
            if self._running or self._clock.monotonic() < self._due_s:
                return False
            self._running = True
            return True

    def _check(self, sampled: Sampled) -> None:
        started_s = self._clock.monotonic()
        try:
            self._metrics.recall_checks.labels(self._checked(sampled)).inc()
        finally:
            ended_s = self._clock.monotonic()
            with self._lock:
                self._due_s = ended_s + max(self._every_s, REST * (ended_s - started_s))
                self._running = False

    def _checked(self, sampled: Sampled) -> str:
        try:
            recall = recall_of(sampled.index, sampled.request)
        except SightlineError as error:
            _log.info("the recall of a search was not checked: %s", error)
            return "failed"
        if recall is None:
            return "empty"
        filtered = "no" if sampled.request.tags == TagFilter() else "yes"
        self._metrics.recall.labels(filtered, sampled.model).observe(recall)
        return "checked"


def recall_of(index: VisibleIndex, request: SearchRequest) -> float | None:
    """The part of an exact scan's results that the index finds, 0-1; None: there are none.

    Whatever is as near as the last result of the scan counts as found: which of several equal
    pictures comes is nobody's loss. What is written between the two reads may count as missed.

    Raises:
        PartUnavailable, Overloaded: as `VisibleIndex.search`.
    """
    asked = replace(request, settle_ties=False, exact=False)
    found = index.search(asked)
    exact = index.search(replace(asked, exact=True))
    if not exact:
        return None
    edge = exact[-1].score - _ROUNDING
    return min(1.0, sum(hit.score >= edge for hit in found) / len(exact))
