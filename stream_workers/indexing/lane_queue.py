"""The queue that every stage takes from: urgent before live before backfill, some put off."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
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
        clock: tells when an item that was put off may be taken.
        takers: among how many threads a lane's items are shared out: one takes at most its part,
            so that none works through a batch of eight while another finds nothing.
    """

    def __init__(self, clock: Clock, *, takers: int = 1) -> None:
        self._clock = clock
        self._takers = takers
        self._urgent: deque[T] = deque()
        self._lanes: dict[Lane, deque[T]] = {lane: deque() for lane in Lane}
        self._put_off: list[tuple[float, int, Lane, T]] = []
        """A heap by the monotonic second before which an item may not be taken."""
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False

    def put(
        self, lane: Lane, items: Iterable[T], *, urgent: bool = False, after_s: float = 0.0
    ) -> None:
        """Queue some, to be taken in `after_s` seconds at the earliest.

        Never blocks: the room in the lane bounds what is in the pipe.
        """
        with self._changed:
            if after_s > 0:
                not_before_s = self._clock.monotonic() + after_s
                for item in items:
                    heapq.heappush(self._put_off, (not_before_s, next(self._order), lane, item))
                self._changed.notify()  # a taker may have to wait less long now
                return
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
        """Return up to `most`, at once if any may be taken, urgent and its part of live ones first.

        Backfill items are taken only where there is nothing better, and at most
        `backfill_most()` of them, which is asked under the queue's lock.
        Returns nothing when the time is over or the queue is closed.
        """
        with self._changed:
            taken = self._now(most, backfill_most)
            if not taken and not self._closed and timeout_s > 0:
                self._changed.wait(min(timeout_s, self._next_s()))
                taken = self._now(most, backfill_most)
            return taken

    def _next_s(self) -> float:
        """Return the seconds until the next item that was put off may be taken."""
        if not self._put_off:
            return threading.TIMEOUT_MAX
        return max(0.0, self._put_off[0][0] - self._clock.monotonic())

    def _now(self, most: int, backfill_most: Callable[[], int] | None) -> list[T]:
        if self._put_off:
            self._let_in(self._clock.monotonic())
        taken = _pop(self._urgent, most)
        taken += self._part(Lane.LIVE, most - len(taken))
        if taken or not self._lanes[Lane.BACKFILL]:
            return taken
        allowed = most if backfill_most is None else min(most, backfill_most())
        return self._part(Lane.BACKFILL, allowed)

    def _let_in(self, now_s: float) -> None:
        """Move what was put off until now to its lane, and wake a taker for each but one's own."""
        due = 0
        while self._put_off and self._put_off[0][0] <= now_s:
            _, _, lane, item = heapq.heappop(self._put_off)
            self._lanes[lane].append(item)
            due += 1
        if due > 1:
            self._changed.notify(due - 1)

    def _part(self, lane: Lane, most: int) -> list[T]:
        queue = self._lanes[lane]
        return _pop(queue, min(most, ceil(len(queue) / self._takers)))

    def depth(self, lane: Lane) -> int:
        """Return how many wait in the lane's order; urgent ones and those put off do not count."""
        with self._changed:
            return len(self._lanes[lane])

    def kick(self) -> None:
        """Let takers look again at backfill: `backfill_most` may answer differently now.

        No more of them than there is backfill, mostly none: each that wakes takes a turn of the
        interpreter's lock.
        """
        with self._changed:
            self._changed.notify(len(self._lanes[Lane.BACKFILL]))

    def hurry(self) -> None:
        """Let everything that was put off be taken now: what it waited for is back."""
        with self._changed:
            self._let_in(float("inf"))
            self._changed.notify_all()

    def close(self) -> None:
        """Let takers return without waiting from now on; a repeat does nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _pop(queue: deque[T], most: int) -> list[T]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]
