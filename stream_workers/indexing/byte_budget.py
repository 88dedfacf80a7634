"""How many bytes of pictures the worker holds between fetching and decoding them."""

from __future__ import annotations

import threading


class ByteBudget:
    """Bounds the bytes held between fetch and decode; a lone item over the bound still passes."""

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._held = 0
        self._changed = threading.Condition()

    @property
    def held(self) -> int:
        """Bytes that were acquired and have not been released."""
        with self._changed:
            return self._held

    def acquire(self, size_bytes: int, giving_up: threading.Event) -> bool:
        """Wait until so many bytes fit; False: the worker stops."""
        with self._changed:
            while self._held and self._held + size_bytes > self._size:
                if giving_up.is_set():
                    return False
                self._changed.wait(0.1)
            self._held += size_bytes
            return True

    def release(self, size_bytes: int) -> None:
        """Give back bytes that are decoded, or were never read."""
        with self._changed:
            self._held -= size_bytes
            self._changed.notify_all()


class HeldBytes:
    """The bytes of one object, counted in a budget until they are let go; safe from any thread."""

    def __init__(self, data: bytes, budget: ByteBudget) -> None:
        self._data: bytes | None = data
        self._budget = budget
        self._lock = threading.Lock()

    @property
    def data(self) -> bytes | None:
        """The bytes themselves; None once they were let go."""
        return self._data

    def let_go(self) -> None:
        """Forget the bytes and give their share of the budget back; a repeat does nothing."""
        with self._lock:
            data, self._data = self._data, None
        if data is not None:
            self._budget.release(len(data))
