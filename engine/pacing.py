"""How fast something is done: at most so many a second, evenly spread over threads."""

from __future__ import annotations

import threading

from sightline.engine.ports import Clock


class Pace:
    """At most so many starts a second, evenly spread; shared by threads.

    Args:
        per_s: starts a second; None: as fast as it goes.
        clock: the time.
        stop: ends waiting.
    """

    def __init__(self, per_s: float | None, *, clock: Clock, stop: threading.Event) -> None:
        self.per_s = per_s
        """May be changed: from the next wait on it is as fast as that."""
        self._clock = clock
        self._stop = stop
        self._next = clock.monotonic()
        self._lock = threading.Lock()

    def wait(self, many: int = 1) -> None:
        """Return when the next ones may start, or at once when stopped.

        Args:
            many: so many start together; whoever comes after waits for all of their share.
        """
        per_s = self.per_s
        if per_s is None or not many:
            return
        with self._lock:
            slot = max(self._next, self._clock.monotonic())
            self._next = slot + many / per_s
        self._stop.wait(max(0.0, slot - self._clock.monotonic()))
