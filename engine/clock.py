"""The time: the system's, and one that tests turn by hand."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Where a `ManualClock` starts unless told otherwise."""


class SystemClock:
    """Tells the time by the clocks of the operating system."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to; safe to share between threads."""

    def __init__(self, start: datetime = EPOCH) -> None:
        self._now = start
        self._elapsed_s = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The instant it was last turned to."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Seconds it has been turned since it was made."""
        with self._lock:
            return self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Turn it forward.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        with self._lock:
            self._now += timedelta(seconds=seconds)
            self._elapsed_s += seconds
