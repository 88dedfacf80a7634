"""How fast and how patiently files are published: a rate, and a bounded wait for what fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from sightline.engine.backoff import Backoff
from sightline.engine.errors import Overloaded, TransientError
from sightline.engine.ports import Clock

T = TypeVar("T")

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0


class Pace:
    """At most so many starts a second, evenly spread; shared by threads.

    Args:
        per_s: starts a second; None: as fast as it goes.
        clock: the time.
        stop: ends waiting.
    """

    def __init__(self, per_s: float | None, *, clock: Clock, stop: threading.Event) -> None:
        self._interval_s = 0.0 if per_s is None else 1.0 / per_s
        self._clock = clock
        self._stop = stop
        self._next = clock.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next one may start, or at once when stopped."""
        if not self._interval_s:
            return
        with self._lock:
            slot = max(self._next, self._clock.monotonic())
            self._next = slot + self._interval_s
        self._stop.wait(max(0.0, slot - self._clock.monotonic()))


def patiently(
    action: Callable[[], T], *, patience_s: float, clock: Clock, stop: threading.Event
) -> T:
    """Run `action` until it works; give up on a part that fails for `patience_s`.

    Overload is waited out without a bound: the part works, and says that it will have us.

    Raises:
        TransientError: the last failure, after `patience_s` or when stopped.
    """
    backoff = Backoff(initial_s=_FIRST_WAIT_S, maximum_s=_LONGEST_WAIT_S)
    failing_since: float | None = None
    while True:
        try:
            return action()
        except TransientError as error:
            now = clock.monotonic()
            if isinstance(error, Overloaded):
                failing_since = None
            elif failing_since is None:
                failing_since = now
            elif now - failing_since > patience_s:
                raise
            if stop.wait(backoff.next_s()):
                raise
