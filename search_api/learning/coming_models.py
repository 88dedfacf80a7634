"""Which released model is on its way into service by itself, for who may see what serves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ComingModel:
    """A model that is on its way into service, or what became of it."""

    name: str
    digest: str
    """The digest that the registry has of it, whole."""
    generation: str | None
    """Its index, where it has one; None: not yet, or it is not kept."""
    stage: str | None
    """What happens to it now; see docs/rollout.md. None: it has come to its end."""
    outcome: str | None
    """What became of it; None: nothing yet."""
    says: str
    """Why; empty: there is nothing to say."""
    since: datetime
    """When it was begun, or ended."""


class ComingModels(Protocol):
    """Knows which models come, or came, by themselves."""

    def now(self) -> tuple[ComingModel, ...]:
        """The one on its way, then the one that ended last; of each none where there is none.

        Raises nothing: where nobody can say, there is none.
        """
