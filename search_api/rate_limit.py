"""One token bucket a caller: who asks too often is told when to come back."""

from __future__ import annotations

import threading
from collections import OrderedDict

from sightline.engine.ports import Clock

MAX_CALLERS = 10_000
"""Buckets that are kept; the longest unused goes first, and would be full again anyway."""


class RateLimit:
    """`per_minute` requests a minute a caller, in bursts of up to a sixth of that (at least 10).

    Safe across threads; per process: several API processes allow as many times more.
    """

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._rate = per_minute / 60.0
        self._burst = float(min(per_minute, max(10, per_minute // 6)))
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, caller: str) -> float:
        """0.0 and one request is counted; or the seconds until one is allowed, and none is."""
        now = self._clock.monotonic()
        with self._lock:
            tokens, before = self._buckets.pop(caller, (self._burst, now))
            tokens = min(self._burst, tokens + (now - before) * self._rate)
            allowed = tokens >= 1.0
            self._buckets[caller] = (tokens - 1.0 if allowed else tokens, now)
            if len(self._buckets) > MAX_CALLERS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - tokens) / self._rate
