"""Looks again and again whether there is something to do; what keeps it from that is told once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sightline.engine.backoff import LONGEST_S, Backoff
from sightline.engine.errors import SightlineError

_FIRST_S = 1.0
"""After a failure of what looks often."""
_TRIES = 60
"""What looks once an hour, and may read the whole log for it, tries again after a minute."""


class Obstacle:
    """What keeps a loop from its work: told when it comes and when it changes, not at each look.

    Args:
        log: of the loop's module.
        says: what it comes to, such as `a roll-out waits`.
        level: of the log's line.
    """

    def __init__(self, log: logging.Logger, says: str, *, level: int = logging.WARNING) -> None:
        self._log = log
        self._says = says
        self._level = level
        self._told = ""

    def met(self, error: Exception) -> None:
        """Tell of a look that failed, unless the last one failed in the same way."""
        told = str(error) if isinstance(error, SightlineError) else repr(error)
        if told != self._told:
            self._log.log(self._level, "%s: %s", self._says, told)
        self._told = told

    def passed(self) -> None:
        """Note that a look went well: whatever comes next is told again."""
        self._told = ""


def keep_looking(
    look: Callable[[], object],
    stop: threading.Event,
    *,
    every_s: float,
    obstacle: Obstacle,
    wait: Callable[[float], object] | None = None,
) -> None:
    """Look until `stop`; one that fails is told, and made again after growing delays.

    Args:
        look: does what is due.
        stop: ends it.
        every_s: between two looks.
        obstacle: is told of failures.
        wait: waits for so many seconds, or less; none: until `stop`.

    Raises:
        Exception: what a look raises and is no `SightlineError`: whoever runs the loop decides.
    """
    first_s = min(every_s, max(_FIRST_S, every_s / _TRIES))
    backoff = Backoff(initial_s=first_s, maximum_s=max(every_s, LONGEST_S))
    while not stop.is_set():
        wait_s = every_s
        try:
            look()
            obstacle.passed()
            backoff.reset()
        except SightlineError as error:
            obstacle.met(error)
            wait_s = backoff.next_s()
        (wait or stop.wait)(wait_s)
