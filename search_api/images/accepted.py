"""One acknowledged write of an image, as a value that is answered."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.schemas.moderation import ImageModerated
from sightline.search_api.images.pending import Pending


@dataclass(frozen=True, slots=True)
class Accepted:
    """One acknowledged write, as it is answered."""

    image_id: str
    version: int
    pending: Pending | None = None
    """What was published just now; None: nothing needed to be."""
    decision: ImageModerated | None = None
    """What was decided just now."""
