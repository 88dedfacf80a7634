"""Sweeps now and then: expired tombstones first, then the bytes that nothing needs any more."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta

from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.noted_times import note_time, noted_time
from sightline.engine.ports import Clock, ObjectStore
from sightline.stream_workers.sweeping.sweep import Sweeper

SWEPT_KEY = "catalogue/.swept"
"""When the last whole sweep began, by whichever process; no image has this key."""
_LOOK_EVERY_S = 3_600.0
"""Between two looks at whether a sweep is due: another process may have done it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class SweepLoop:
    """Any number of processes may run it; the first that finds a sweep due does it.

    Args:
        sweeper: removes bytes and renditions.
        expire: removes tombstones past their retention, with their catalogue entries; how many.
        store: keeps when the last sweep was.
        bucket: ours.
        every_s: seconds between two sweeps.
        clock: the time.
        metrics: counts what was removed.
    """

    sweeper: Sweeper
    expire: Callable[[], int]
    _: KW_ONLY
    store: ObjectStore
    bucket: str
    every_s: float
    clock: Clock
    metrics: Metrics

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`; what fails is told, and tried again: `keep_looking`."""
        every_s = min(self.every_s, _LOOK_EVERY_S)
        obstacle = Obstacle(_log, "the bucket could not be swept")
        keep_looking(self._look, stop, every_s=every_s, obstacle=obstacle)

    def _look(self) -> None:
        if self._is_due():
            self.sweep()

    def sweep(self) -> None:
        """Sweep once, and note that it was done.

        Raises:
            PartUnavailable: broker, store or index did not answer; a repeat goes on.
        """
        began = self.clock.now()
        expired = self.expire()
        swept = self.sweeper.sweep()
        note_time(self.store, self.bucket, SWEPT_KEY, began)
        self.metrics.swept.labels("tombstones").inc(expired)
        self.metrics.swept.labels("objects").inc(swept.removed)
        if expired or swept.removed:
            facts = {"tombstones": expired, "objects": swept.removed, "bytes": swept.removed_bytes}
            _log.info("removed what no image needs any more", extra=facts)

    def _is_due(self) -> bool:
        now = self.clock.now()
        last = noted_time(self.store, self.bucket, SWEPT_KEY, now=now)
        return last is None or now - last >= timedelta(seconds=self.every_s)
