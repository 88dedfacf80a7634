"""Runs a process's loops side by side: one that buries too much stops alone, else all stop.

Loops that others can do without are begun anew instead (`begun_anew`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial

from sightline.engine.errors import DeadLetterLimit, RefusedToStart

Loop = Callable[[threading.Event], None]
"""Runs until the event is set; raises if it cannot go on."""
Stopped = Callable[[str, str], object]
"""Told the name of a loop that stopped alone, and why."""
AGAIN_S = 30.0
"""What failed begins anew so much later."""
_LOOK_S = 0.5
_log = logging.getLogger(__name__)


def begun_anew(
    loops: Mapping[str, Loop],
    *,
    stopped: Stopped,
    resumed: Callable[[str], object],
    again_s: float = AGAIN_S,
) -> dict[str, Loop]:
    """Loops that searching and indexing can do without: what ends one ends it for a while only.

    What it works on was written by others, or lies in a bucket. A refusal passes: it says that the
    process must not run so.

    Args:
        loops: by name.
        stopped: told of each that failed.
        resumed: told once it has run again for as long as it was away.
        again_s: how much later it begins anew.
    """

    def once(name: str, loop: Loop, stop: threading.Event) -> bool:
        """Run it; whether it came to its end."""
        try:
            loop(stop)
        except RefusedToStart:
            raise
        except Exception as error:
            if stop.is_set():
                raise
            _log.exception("%s failed, and begins anew in %.0f s", name, again_s)
            stopped(name, f"it begins anew within {again_s:.0f} s: {error}")
            return False
        return True

    def run(name: str, loop: Loop, stop: threading.Event) -> None:
        ended = once(name, loop, stop)
        while not ended and not stop.wait(again_s):
            runs = threading.Timer(again_s, resumed, (name,))
            runs.daemon = True
            runs.start()
            ended = once(name, loop, stop)
            runs.cancel()

    return {name: partial(run, name, loop) for name, loop in loops.items()}


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
