"""Indexes by generation: each opened once in a process, and closed when its last user has gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sightline.engine.ports import VectorIndex
from sightline.engine.vector_index.generations import Generations


class OpenIndexes:
    """What a process has open; worker and API share it. Safe from several threads.

    The embedded engine has one owner for each generation, so nobody may open one beside this.

    Args:
        generations: where they are; the caller closes it, after this.
    """

    def __init__(self, generations: Generations[VectorIndex]) -> None:
        self.generations = generations
        self._lock = threading.Lock()
        self._open: dict[str, tuple[VectorIndex, int]] = {}

    def take(self, name: str) -> VectorIndex:
        """The index of a generation; give it back once.

        Raises:
            NotFound: there is no such generation.
            IndexOwned: another process owns it (embedded only).
            PartUnavailable: the store did not answer.
        """
        with self._lock:
            index, users = self._open.get(name) or (self.generations.open(name), 0)
            self._open[name] = index, users + 1
            return index

    def give(self, name: str) -> None:
        """One user has gone; the last one closes it."""
        with self._lock:
            index, users = self._open.pop(name)
            if users > 1:
                self._open[name] = index, users - 1
                return
            index.close()

    @contextmanager
    def held(self, name: str) -> Iterator[VectorIndex]:
        """The index for the length of a block; raises as `take`."""
        index = self.take(name)
        try:
            yield index
        finally:
            self.give(name)

    def names(self) -> list[str]:
        """Tells which generations are open now, sorted."""
        with self._lock:
            return sorted(self._open)
