"""What goes on in another thread while something is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def beside(loop: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run a loop in a thread of its own until the block ends; it ends when its event is set.

    Raises:
        Exception: whatever ended the loop, once the block has ended.
    """
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        ends = pool.submit(loop, over)
        try:
            yield
        finally:
            over.set()
        ends.result()
