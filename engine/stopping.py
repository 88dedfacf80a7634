"""Events that end work: several as one, and what comes one by one until then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_LOOK_S = 1.0


class EitherStop(threading.Event):
    """Is set once it, or any of some other events, is.

    Args:
        others: what else ends the work; the first of them wakes who waits at once, the rest within
            a second.
    """

    def __init__(self, *others: threading.Event) -> None:
        super().__init__()
        self._others = others

    def is_set(self) -> bool:
        """Whether the work is to end: this event, or one of the others, is set."""
        return super().is_set() or any(other.is_set() for other in self._others)

    def wait(self, timeout: float | None = None) -> bool:
        """Return once the work is to end, or after `timeout` seconds; whether it is to end."""
        ends = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left_s = _LOOK_S if ends is None else min(_LOOK_S, ends - time.monotonic())
            if left_s <= 0:
                break
            self._others[0].wait(left_s)
        return self.is_set()


def until(stop: threading.Event, items: Iterable[T]) -> Iterator[T]:
    """What comes, one by one, until `stop` is set."""
    for item in items:
        if stop.is_set():
            return
        yield item
