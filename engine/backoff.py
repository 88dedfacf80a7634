"""Attempts that are repeated: after growing delays, or every so often for a while."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sightline.engine.errors import TransientError

T = TypeVar("T")

_MAX_DOUBLINGS = 32
"""Past this the bound has long been reached; keeps 2**n a finite float."""
FIRST_S, LONGEST_S = 0.1, 10.0
"""The delays of loops that have no setting for them."""


class Backoff:
    """Delays of one chain of attempts: `initial_s`, doubled each time, at most `maximum_s`.

    Each delay is drawn between half and all of that ("equal jitter"), so that workers that failed
    together do not come back together. Not shared between threads.
    """

    def __init__(
        self, *, initial_s: float, maximum_s: float, rng: Callable[[], float] = random.random
    ) -> None:
        self._initial_s = initial_s
        self._maximum_s = maximum_s
        self._rng = rng
        self.attempts = 0

    def next_s(self) -> float:
        """Seconds to wait before the next attempt; counts the attempt."""
        doublings = min(self.attempts, _MAX_DOUBLINGS)
        full = min(self._maximum_s, self._initial_s * 2.0**doublings)
        self.attempts += 1
        return full / 2 + full / 2 * self._rng()

    def reset(self) -> None:
        """The last attempt worked: start again at the first delay."""
        self.attempts = 0


def retry_transient(
    action: Callable[[], T],
    *,
    backoff: Backoff | None = None,
    stop: threading.Event,
    failed: Callable[[TransientError], None],
) -> T:
    """Run `action` until it works, waiting between transient failures.

    `failed` is told about each failure, and gives up by raising it. When `stop` is set, during a
    wait or before, the last failure is raised instead of waiting on. No backoff: the usual one.

    Raises:
        TransientError: the last failure, when stopped.
    """
    backoff = backoff or Backoff(initial_s=FIRST_S, maximum_s=LONGEST_S)
    while True:
        try:
            return action()
        except TransientError as error:
            failed(error)
            if stop.wait(backoff.next_s()):
                raise


def retry_for(
    seconds: float,
    action: Callable[[], T],
    *,
    every_s: float,
    passes: Callable[[TransientError], bool],
) -> T:
    """Run `action` until it works, and again every so often while its failure is one that passes.

    Raises:
        TransientError: one that does not pass, or that it met after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except TransientError as error:
            if not passes(error) or time.monotonic() >= deadline:
                raise
        time.sleep(every_s)
