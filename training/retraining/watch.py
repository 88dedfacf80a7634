"""Looks whether a retraining is due, and lets another process do it, whose memory goes with it.

A look reads a few small objects; what trains needs half a gigabyte, a few minutes now and then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import partial

from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.lease import Lease
from sightline.engine.settings import RetrainingSettings
from sightline.training.retraining.plan import Observed, Step, next_retraining_step
from sightline.training.retraining.retraining import Triples
from sightline.training.retraining.state import RetrainingRecord, RetrainingState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class RetrainingWatch:
    """A loop; any number of processes may run one.

    Args:
        record: what the retraining has come to.
        triples: what there is to learn from.
        lease: tells whether another process works already.
        work: runs what does the work, until it ends (its exit code) or `stop` ends it (None).
        settings: when a training begins.
        metrics: of the process.
    """

    record: RetrainingRecord
    triples: Triples
    _: KW_ONLY
    lease: Lease
    work: Callable[[threading.Event], int | None]
    settings: RetrainingSettings
    metrics: Metrics

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`; what fails is told, and tried again: `keep_looking`."""
        obstacle = Obstacle(_log, "cannot tell whether a retraining is due")
        look, every_s = partial(self.look, stop), self.settings.look_every_s
        keep_looking(look, stop, every_s=every_s, obstacle=obstacle)

    def look(self, stop: threading.Event) -> bool:
        """Have done what is due, unless another process does it; whether anything was.

        Raises:
            PartUnavailable: the store did not answer.
            Unreadable: the record is damaged.
        """
        before = self.record.read().state
        if not self._is_due(before) or not self.lease.is_free():
            return False
        code = self.work(stop)
        if code:
            _log.warning("the retraining ended with %s, it goes on with the next look", code)
        self._count(before, self.record.read().state)
        return True

    def _is_due(self, state: RetrainingState) -> bool:
        if state.under_way is not None:
            return True
        come = self.triples.come(state, self.settings)
        self.metrics.retraining_waiting.set(come.triples)
        return next_retraining_step(Observed(come=come), self.settings) is not Step.WAIT

    def _count(self, before: RetrainingState, after: RetrainingState) -> None:
        """An attempt that ended meanwhile; one at most, as the next needs new triples."""
        if after.last is not None and after.last != before.last:
            self.metrics.retraining_ended.labels(after.last.outcome).inc()
            self.metrics.retraining_last.set(after.last.ended_at.timestamp())
