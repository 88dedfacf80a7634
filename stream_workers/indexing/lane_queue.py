"""Two lanes, live before backfill: the queue that every stage takes from, and the room there is."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from math import ceil
from typing import Generic, TypeVar

from sightline.engine.ports import Clock
from sightline.schemas.indexed import Lane
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL

T = TypeVar("T")

LANE_TOPICS = {Lane.LIVE: IMAGES.name, Lane.BACKFILL: IMAGES_BACKFILL.name}


class LaneQueue(Generic[T]):
    """Joins two stages: urgent before live before backfill, first in first out within each.

    Args:
        takers: among how many threads a lane's items are shared out: one takes at most its part,
            so that none works through a batch of eight while another finds nothing.
    """

    def __init__(self, *, takers: int = 1) -> None:
        self._takers = takers
        self._urgent: deque[T] = deque()
        self._lanes: dict[Lane, deque[T]] = {lane: deque() for lane in Lane}
        self._changed = threading.Condition()
        self._closed = False

    def put(self, lane: Lane, items: Iterable[T], *, urgent: bool = False) -> None:
        """Queue some; never blocks: the room in the lane bounds what is in the pipe."""
        with self._changed:
            queue = self._urgent if urgent else self._lanes[lane]
            before = len(queue)
            queue.extend(items)
            self._changed.notify(len(queue) - before)  # not all: sixteen threads may wait here

    def take(
        self,
        most: int,
        timeout_s: float,
        *,
        backfill_most: Callable[[], int] | None = None,
    ) -> list[T]:
        """Up to `most`, at once if anything is there, urgent ones and its part of live ones first.

        Backfill items are taken only where there is nothing better, and at most
        `backfill_most()` of them, which is asked under the queue's lock.
        Returns nothing when the time is over or the queue is closed.
        """
        with self._changed:
            taken = self._now(most, backfill_most)
            if not taken and not self._closed:
                self._changed.wait(timeout_s)
                taken = self._now(most, backfill_most)
            return taken

    def _now(self, most: int, backfill_most: Callable[[], int] | None) -> list[T]:
        taken = _pop(self._urgent, most)
        taken += self._part(Lane.LIVE, most - len(taken))
        if taken or not self._lanes[Lane.BACKFILL]:
            return taken
        allowed = most if backfill_most is None else min(most, backfill_most())
        return self._part(Lane.BACKFILL, allowed)

    def _part(self, lane: Lane, most: int) -> list[T]:
        queue = self._lanes[lane]
        return _pop(queue, min(most, ceil(len(queue) / self._takers)))

    def depth(self, lane: Lane) -> int:
        """How many wait."""
        with self._changed:
            return len(self._lanes[lane])

    def kick(self) -> None:
        """Takers look again: `backfill_most` may answer differently now."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Takers return; repeats do nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _pop(queue: deque[T], most: int) -> list[T]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]


class LaneRoom:
    """How many more events may enter each lane; safe from several threads.

    Events that wait, for bytes that are not there or for another event, count as parked against
    a wider bound of their own: a store that is down must not keep what hides an image from being
    applied. Backfill enters only while fewer live events are being worked on than could be at once.
    """

    def __init__(
        self, limits: dict[Lane, int], *, parked_limit: int, live_share: int, clock: Clock
    ) -> None:
        self._limits = limits
        self._parked_limit = parked_limit
        self._live_share = live_share
        self._clock = clock
        self._active: Counter[Lane] = Counter()
        self._parked: Counter[Lane] = Counter()
        self._live_seen_s: float | None = None
        self._changed = threading.Condition()

    def enter(self, lane: Lane, count: int) -> None:
        """Some were polled."""
        with self._changed:
            self._active[lane] += count
            if lane is Lane.LIVE and count:
                self._live_seen_s = self._clock.monotonic()

    def leave(self, lane: Lane) -> None:
        """One was applied or dead-lettered."""
        with self._changed:
            self._active[lane] -= 1
            self._changed.notify_all()

    def park(self, lane: Lane) -> None:
        """One waits, holding no bytes."""
        with self._changed:
            self._active[lane] -= 1
            self._parked[lane] += 1
            self._changed.notify_all()

    def unpark(self, lane: Lane) -> None:
        """One is looked at again."""
        with self._changed:
            self._active[lane] += 1
            self._parked[lane] -= 1

    def free(self, lane: Lane, timeout_s: float = 0.0) -> int:
        """How many may enter now; waits that long for room if there is none."""
        with self._changed:
            if self._free(lane) == 0 and timeout_s > 0:
                self._changed.wait_for(lambda: self._free(lane) > 0, timeout_s)
            return self._free(lane)

    def _free(self, lane: Lane) -> int:
        if self._parked[lane] >= self._parked_limit:
            return 0
        if lane is Lane.BACKFILL and self._active[Lane.LIVE] >= self._live_share:
            return 0
        return max(0, self._limits[lane] - self._active[lane])

    def in_flight(self, lane: Lane) -> int:
        """How many are in the pipe, waiting ones included."""
        with self._changed:
            return self._active[lane] + self._parked[lane]

    def wait_active_done(self, timeout_s: float) -> bool:
        """Whether all that is being worked on was finished in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not any(self._active.values()), timeout_s)

    def live_within(self, seconds: float) -> bool:
        """Whether a live event came that recently."""
        with self._changed:
            seen = self._live_seen_s
        return seen is not None and self._clock.monotonic() - seen < seconds
