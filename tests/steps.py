"""Work that says step by step how far it is in, what it comes to out."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

Step = TypeVar("Step")
End = TypeVar("End")


def ended(steps: Generator[Step, None, End]) -> End:
    """What the work returns; what it says on the way is passed over."""
    return told(steps)[1]


def told(steps: Generator[Step, None, End]) -> tuple[list[Step], End]:
    """All that the work says, and what it returns."""
    said = []
    while True:
        try:
            said.append(next(steps))
        except StopIteration as end:
            came_to: End = end.value
            return said, came_to
