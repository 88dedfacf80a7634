"""Room for work that nobody waits for: so many pieces and so many bytes of it at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(slots=True)
class WorkRoom:
    """Counts pieces of work and their bytes; safe across threads.

    Args:
        max_pieces: of work that is not finished.
        max_bytes: of what they hold.
    """

    max_pieces: int
    max_bytes: int
    _pieces: int = 0
    _bytes: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def fits(self, size_bytes: int) -> bool:
        """Whether there is room for one more just now."""
        return self._pieces < self.max_pieces and self._bytes + size_bytes <= self.max_bytes

    def take(self, size_bytes: int) -> bool:
        """Take room for one piece; false: there is none, and none was taken."""
        with self._changed:
            if not self.fits(size_bytes):
                return False
            self._pieces += 1
            self._bytes += size_bytes
            return True

    def give(self, size_bytes: int) -> None:
        """Give back the room of one piece that has ended."""
        with self._changed:
            self._pieces -= 1
            self._bytes -= size_bytes
            self._changed.notify_all()

    def wait_empty(self, timeout_s: float | None) -> bool:
        """Return when nothing is unfinished; false: something was after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._pieces == 0, timeout_s)
