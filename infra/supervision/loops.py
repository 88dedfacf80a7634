"""Runs a process's loops side by side: when one ends or fails, all stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

Loop = Callable[[threading.Event], None]
"""Runs until the event is set; raises if it cannot go on."""


def run_together(loops: Mapping[str, Loop], stop: threading.Event) -> None:
    """Run each loop in a thread of its own until `stop` is set or one of them ends.

    Raises:
        BaseException: the first failure of a loop, after all others have ended.
    """
    failures: list[BaseException] = []

    def run(loop: Loop) -> None:
        try:
            loop(stop)
        except BaseException as error:  # noqa: BLE001 - handed to the caller below, whatever it is
            failures.append(error)
        finally:
            stop.set()

    threads = [
        threading.Thread(target=run, args=(loop,), name=name) for name, loop in loops.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
