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

    Args:
        per_minute: what is allowed in the long run.
        clock: the time.
        burst: what is allowed at once; none: as above.
    """

    def __init__(self, per_minute: int, clock: Clock, *, burst: int | None = None) -> None:
        self._rate = per_minute / 60.0
        self._burst = float(burst or min(per_minute, max(10, per_minute // 6)))
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, caller: str, cost: float = 1.0) -> float:
        """0.0 and `cost` requests are counted; or the seconds until they are allowed, and none is.

        A cost above the burst is never allowed.
        """
        now = self._clock.monotonic()
        with self._lock:
            tokens, before = self._buckets.pop(caller, (self._burst, now))
            tokens = min(self._burst, tokens + (now - before) * self._rate)
            allowed = tokens >= cost
            self._buckets[caller] = (tokens - cost if allowed else tokens, now)
            if len(self._buckets) > MAX_CALLERS:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (cost - tokens) / self._rate
