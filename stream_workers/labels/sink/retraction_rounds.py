"""Runs `Retraction` again and again, beside the sink.

Due is what the store says of the last round, whoever ran it: of several sinks the first to find it
due runs it, a restart neither repeats nor forgets it, and two at once are harmless.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from sightline.engine.errors import SightlineError
from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.stream_workers.labels.sink.last_retraction import LastRetraction, RetractionReport

LOOK_EVERY_S = 60.0
"""Nor sooner after the start: a process that fails at once does not read the log each time."""
_log = logging.getLogger(__name__)


class RetractionRounds:
    """One loop.

    Args:
        retract: one round; tells the store when it has ended.
        last: what the store says of the last round.
        every_s: from the end of one round to the next; above 0.
        clock: of the store's times.
        metrics: of the process.
    """

    def __init__(
        self,
        retract: Callable[[], RetractionReport],
        last: Callable[[], LastRetraction | None],
        *,
        every_s: float,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._retract = retract
        self._last = last
        self._every = timedelta(seconds=every_s)
        self._clock = clock
        self._metrics = metrics

    def run(self, stop: threading.Event) -> None:
        """Run rounds until told to stop; one that fails is logged, counted and tried again."""
        every_s = min(LOOK_EVERY_S, self._every.total_seconds())
        obstacle = Obstacle(_log, "cannot tell when triples were last taken back")
        if not stop.wait(every_s):
            keep_looking(self.look, stop, every_s=every_s, obstacle=obstacle)

    def look(self) -> None:
        """Run a round if it is due. Raises `TransientError`: the store does not say."""
        last = self._last()
        if last is not None:
            self._metrics.retraction_last.set(last.finished_at.timestamp())
            # A mark of the future is a clock that was wrong: it must not put the next round off.
            if timedelta(0) <= self._clock.now() - last.finished_at < self._every:
                return
        self.round()

    def round(self) -> None:
        """Runs one round now; a failure is logged and left to the next round."""
        try:
            report = self._retract()
        except SightlineError as error:
            self._metrics.retractions.labels("failed").inc()
            _log.warning("taking triples back failed, it is tried again: %s", error)
            return
        self._metrics.retractions.labels("done").inc()
        self._metrics.retraction_last.set(self._clock.now().timestamp())
        for cause, count in report.retracted.items():
            self._metrics.retracted.labels(cause).inc(count)
        if report.changed:
            _log.info(
                "%s triples taken back, %s rows removed",
                sum(report.retracted.values()),
                report.rows_removed,
            )
