"""How far a generation that is being filled is, for who may see what serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """A re-index as its last note tells of it."""

    generation: str
    by: Literal["features", "bytes"]
    step: str
    """What is being done; see docs/rollout.md."""
    done: int
    total: int
    """Images of the step; 0: it counts none."""
    rate_per_s: float | None
    """Images a second, on average since the step began; None: not known yet."""
    trouble: str
    """What it waits for, or why it was refused; empty: nothing."""

    @property
    def remaining_s(self) -> float | None:
        """How long the step takes yet at its rate; None: not known."""
        if not self.rate_per_s or not self.total:
            return None
        return max(self.total - self.done, 0) / self.rate_per_s


class Fillings(Protocol):
    """Knows whether a generation is being filled."""

    def now(self) -> Filling | None:
        """The one that is being filled; None: none is, or nobody can say. Raises nothing."""
