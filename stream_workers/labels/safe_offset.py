"""The one offset that may be committed: everything below it is needed by nobody any more."""

from __future__ import annotations

from collections.abc import Iterable


class OffsetGap(RuntimeError):
    """A record was skipped: something was lost, and the state is not whole."""


class SafeOffset:
    """Accepts records strictly in a row and tells what may be committed.

    Rows of the side topic and dead letters hold their record's offset until they are acknowledged.
    """

    def __init__(self) -> None:
        self._next: int | None = None
        self._pending: set[int] = set()

    def accept(self, offset: int) -> None:
        """Take the next record.

        Raises:
            OffsetGap: it is not the next one.
        """
        if self._next is not None and offset != self._next:
            raise OffsetGap(f"expected offset {self._next}, got {offset}")
        self._next = offset + 1

    def skip_to(self, offset: int) -> None:
        """The log holds nothing from the present position up to this offset."""
        if self._next is not None:
            self._next = max(self._next, offset)

    def hold(self, offset: int) -> None:
        """A row that names this record is on its way."""
        self._pending.add(offset)

    def settle(self, offset: int) -> None:
        """The row of this record is acknowledged; a repeat does nothing."""
        self._pending.discard(offset)

    def safe(self, needed: Iterable[int]) -> int | None:
        """The lowest offset that is needed, else the next to read; None before the first record."""
        if self._next is None:
            return None
        return min(
            min(needed, default=self._next), min(self._pending, default=self._next), self._next
        )
