"""The generations of one deployment in memory: which there are, and which of them serves."""

from __future__ import annotations

from sightline.engine.errors import NotFound
from sightline.engine.records import GenerationSpec
from sightline.engine.vector_index.generations import check_name
from sightline.engine.vector_index.memory.held import HeldGeneration
from sightline.engine.vector_index.memory.index import MemoryVectorIndex


class MemoryGenerations:
    """The generations of one deployment in memory; see `generations.Generations`."""

    def __init__(self) -> None:
        self._generations: dict[str, HeldGeneration] = {}
        self._current: str | None = None

    def current(self) -> str | None:
        """See `Generations.current`."""
        return self._current

    def names(self) -> list[str]:
        """See `Generations.names`."""
        return sorted(self._generations)

    def spec(self, name: str) -> GenerationSpec | None:
        """See `Generations.spec`."""
        found = self._generations.get(name)
        return None if found is None else found.spec

    def create(self, spec: GenerationSpec) -> None:
        """See `Generations.create`."""
        self._generations.setdefault(check_name(spec.name), HeldGeneration(spec))

    def open(self, name: str) -> MemoryVectorIndex:
        """See `Generations.open`; all who have it open see each other's writes.

        Raises:
            NotFound: there is no such generation.
        """
        return MemoryVectorIndex(self._known(name))

    def switch(self, name: str) -> None:
        """See `Generations.switch`."""
        self._current = self._known(name).spec.name

    def remove(self, name: str) -> None:
        """See `Generations.remove`."""
        self._generations.pop(check_name(name), None)

    def close(self) -> None:
        """See `Generations.close`."""

    def _known(self, name: str) -> HeldGeneration:
        if name not in self._generations:
            raise NotFound(f"index: no generation {name!r} in memory")
        return self._generations[name]
