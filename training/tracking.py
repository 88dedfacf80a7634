"""How long work tells how far it is: what it goes through is handed through a `Track`.

The work stays as it is, and whoever waits sees a bar, a log line or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Say = Callable[[str], None]
"""Tells whoever waits, in a line, how far the work is."""


class Track(Protocol):
    """Hands items through, one by one, and shows how many of them have gone."""

    def __call__(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """The same items in the same order.

        Args:
            items: what is gone through.
            what: they are, for a person: `pictures`.
            total: how many there will be.
        """


def untracked(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:  # noqa: ARG001 - a Track
    """Hand the items through and show nothing."""
    yield from items
