"""A set of 64-bit digests in eight bytes each: to count distinct people and records of a day."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable

PENDING = 4_096
"""Digests that wait as a set, at about sixty bytes each, before they are packed."""


class PackedDigests:
    """Grows only; not safe to share between threads."""

    def __init__(self) -> None:
        self._packed: array[int] = array("Q")
        self._pending: set[int] = set()

    def update(self, digests: Iterable[int]) -> None:
        """Take these; those that are in already change nothing."""
        self._pending.update(digests)
        if len(self._pending) >= PENDING:
            self._pack()

    def __contains__(self, digest: int) -> bool:
        if digest in self._pending:
            return True
        place = bisect_left(self._packed, digest)
        return place < len(self._packed) and self._packed[place] == digest

    def __len__(self) -> int:
        self._pack()
        return len(self._packed)

    def _pack(self) -> None:
        if self._pending:
            self._packed = array("Q", sorted(self._pending.union(self._packed)))
            self._pending = set()
