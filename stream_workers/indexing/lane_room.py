"""How many events of each lane may be in the worker at once."""

from __future__ import annotations

import threading
from collections import Counter

from sightline.engine.ports import Clock
from sightline.schemas.indexed import Lane


class LaneRoom:
    """How many more events may enter each lane; safe from several threads.

    Events that wait, for bytes that are not there or for another event, count as parked against
    a wider bound of their own: a store that is down must not keep what hides an image from being
    applied. Backfill enters only while fewer live events are being worked on than could be at once.

    Who waits for room is woken once there is room for an eighth of the lane's limit: woken for each
    place, a poller of a full lane would poll and plan events one by one.
    """

    def __init__(
        self, limits: dict[Lane, int], *, parked_limit: int, live_share: int, clock: Clock
    ) -> None:
        self._limits = limits
        self._worth_waking = {lane: max(1, limit // 8) for lane, limit in limits.items()}
        self._parked_limit = parked_limit
        self._live_share = live_share
        self._clock = clock
        self._active: Counter[Lane] = Counter()
        self._parked: Counter[Lane] = Counter()
        self._live_seen_s: float | None = None
        self._changed = threading.Condition()

    def enter(self, lane: Lane, count: int) -> None:
        """Count events that were just polled into the lane."""
        with self._changed:
            self._active[lane] += count
            if lane is Lane.LIVE and count:
                self._live_seen_s = self._clock.monotonic()

    def leave(self, lane: Lane) -> None:
        """Take out an event that was applied or dead-lettered."""
        with self._changed:
            self._active[lane] -= 1
            self._wake()

    def park(self, lane: Lane) -> None:
        """Count an event as waiting, which holds no bytes meanwhile."""
        with self._changed:
            self._active[lane] -= 1
            self._parked[lane] += 1
            self._wake()

    def unpark(self, lane: Lane) -> None:
        """Count an event that waited as being worked on again."""
        with self._changed:
            self._active[lane] += 1
            self._parked[lane] -= 1

    def free(self, lane: Lane, timeout_s: float = 0.0) -> int:
        """Return how many may enter now; waits that long for room if there is none."""
        with self._changed:
            if self._free(lane) == 0 and timeout_s > 0:
                self._changed.wait_for(lambda: self._is_worth_waking(lane), timeout_s)
            return self._free(lane)

    def _wake(self) -> None:
        if self._is_idle() or any(map(self._is_worth_waking, self._limits)):
            self._changed.notify_all()

    def _is_worth_waking(self, lane: Lane) -> bool:
        return self._free(lane) >= self._worth_waking[lane]

    def _is_idle(self) -> bool:
        return not any(self._active.values())

    def _free(self, lane: Lane) -> int:
        if self._parked[lane] >= self._parked_limit:
            return 0
        if lane is Lane.BACKFILL and self._active[Lane.LIVE] >= self._live_share:
            return 0
        return max(0, self._limits[lane] - self._active[lane])

    def in_flight(self, lane: Lane) -> int:
        """Return how many events are in the pipe, those that wait included."""
        with self._changed:
            return self._active[lane] + self._parked[lane]

    def wait_active_done(self, timeout_s: float) -> bool:
        """Whether all that is being worked on was finished in time."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout_s)

    def live_within(self, seconds: float) -> bool:
        """Whether a live event came that recently."""
        with self._changed:
            seen = self._live_seen_s
        return seen is not None and self._clock.monotonic() - seen < seconds
