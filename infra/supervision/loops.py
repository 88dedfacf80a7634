"""Runs a process's loops side by side: one that buries too much stops alone, else all stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from sightline.engine.errors import DeadLetterLimit

Loop = Callable[[threading.Event], None]
"""Runs until the event is set; raises if it cannot go on."""
Stopped = Callable[[str, str], object]
"""Told the name of a loop that stopped alone, and why."""
_LOOK_S = 0.5
_log = logging.getLogger(__name__)


def run_together(
    loops: Mapping[str, Loop], stop: threading.Event, *, stopped: Stopped = lambda *_: None
) -> None:
    """Run each loop in a thread of its own until `stop` is set or one of them ends.

    A loop that ends by `DeadLetterLimit` ends alone: what others send must not take down the rest.

    Args:
        loops: by name.
        stop: ends them all.
        stopped: told of each that ends alone.

    Raises:
        BaseException: the first failure of a loop, after all others have ended. What stopped alone
            is raised only where nothing else failed.
    """
    failures: list[BaseException] = []
    buried: list[BaseException] = []

    def run(name: str, loop: Loop) -> None:
        try:
            loop(stop)
        except DeadLetterLimit as error:
            buried.append(error)
            _log.critical("%s stops, the rest goes on: %s", name, error)
            stopped(name, str(error))
            return
        except BaseException as error:  # noqa: BLE001 - handed to the caller below, whatever it is
            failures.append(error)
        stop.set()

    threads = [
        threading.Thread(target=run, args=(name, loop), name=name) for name, loop in loops.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        # A signal's handler runs in this thread only, and does not wake it where another thread
        # was interrupted: so it never waits for long.
        while thread.is_alive():
            thread.join(_LOOK_S)
    ended = [*failures, *buried]
    if ended:
        raise ended[0]
