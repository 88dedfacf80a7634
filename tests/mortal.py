"""Processes that are killed before something that they do: what outlives them, and their store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sightline.engine.object_store.memory import MemoryObjectStore


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass(kw_only=True)
class Mortal:
    """What outlives a process, and when the present one dies."""

    store: MemoryObjectStore
    lives: int | None = None
    """Effects that the present process still has; None: it is never killed."""

    def effect(self) -> None:
        """Something is about to be done that others can see, or the process is killed."""
        if self.lives is not None:
            if self.lives <= 0:
                raise Killed
            self.lives -= 1


class DyingStore:
    """The bucket as a process writes to it that may be killed before any write."""

    def __init__(self, machine: Mortal) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        """Reads are the store's own."""
        return getattr(self._machine.store, name)

    def put_if(self, *arguments: Any, **options: Any) -> Any:
        """See `ObjectStore.put_if`."""
        self._machine.effect()
        return self._machine.store.put_if(*arguments, **options)
