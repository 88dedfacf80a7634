"""Loops of a process, running in threads for as long as a test needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.patience import patient

ENDS_WITHIN_S = 30.0


@contextmanager
def running(*loops: Callable[[threading.Event], object]) -> Iterator[None]:
    """These loops, until the body ends; each ends when it is told to."""
    stop = threading.Event()
    threads = [threading.Thread(target=loop, args=(stop,)) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(patient(ENDS_WITHIN_S))
            assert not thread.is_alive()
