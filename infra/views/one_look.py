"""Looks at a store for callers who must not wait for it all together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from sightline.engine.errors import SightlineError
from sightline.engine.looking import Obstacle

_Seen = TypeVar("_Seen")
_log = logging.getLogger(__name__)


class OneLook(Generic[_Seen]):
    """One look at a time; whoever asks meanwhile is told what was seen before.

    A store that hangs holds up one caller so, not all who ask.

    Args:
        look: asks the store.
        unknown: is told where the store does not answer, and before the first look.
        what: is looked at, for the log.
    """

    def __init__(self, look: Callable[[], _Seen], unknown: _Seen, what: str) -> None:
        self._look = look
        self._unknown = self._last = unknown
        self._obstacle = Obstacle(_log, f"{what} cannot be told", level=logging.INFO)
        self._lock = threading.Lock()

    def now(self) -> _Seen:
        """What is there now, or was at the last look. Raises nothing of the store's."""
        if not self._lock.acquire(blocking=False):
            return self._last
        try:
            self._last = self._look()
        except SightlineError as error:
            self._last = self._unknown
            self._obstacle.met(error)
        else:
            self._obstacle.passed()
        finally:
            self._lock.release()
        return self._last
