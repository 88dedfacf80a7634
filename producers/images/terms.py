"""On what terms a write of an image comes about: on top of what, and by whose leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sightline.engine.object_store.entries import Origin
from sightline.schemas.images import ImageState

Permit = Callable[[ImageState | None], None]
"""Raises where the caller may not write on top of the present state, or of none."""


def anyone(state: ImageState | None) -> None:
    """For callers who may write every image."""
    del state


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a write comes about; looked at anew whenever somebody else was faster."""

    if_match: int | None = None
    """Only on top of this version."""
    permit: Permit = anyone
    """Raises where the caller may not write."""
    again: bool = False
    """Count the write also if it says the same as what is there."""
    origin: Origin | None = None
    """Who brings the image into being, where that is to be noted."""
    mend: bool = False
    """Replace an unreadable catalogue entry even if nothing else is known of the image."""
