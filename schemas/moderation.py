"""What the operator decides about an image, apart from what its owner says of it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from sightline.schemas.envelope import EventData, ranked
from sightline.schemas.fields import Id, ImageId, Moderation, Version


class ImageModerated(EventData):
    """The operator blocked an image, or allowed it again; no event of its owner changes that.

    An image is listed while its owner says `public` and the operator does not say `blocked`. A
    decision may come before its image, and outlives its delete.
    """

    TYPE: ClassVar[str] = "sightline.image.moderated.v1"
    SUBJECT: ClassVar[str] = "image_id"

    image_id: ImageId
    """The image; the Kafka key."""
    version: Version
    """Grows with every decision about the image; counted apart from the image's own versions."""
    moderation: Moderation
    """Blocked hides the image from every search, whatever its owner says."""
    decided_by: Id
    """Who decided: `admin`, or the name of a classifier."""
    reason: Annotated[str | None, Field(max_length=512)] = None
    """Why, for people; shown to the image's owner and to admins."""


def decision_tie(decision: ImageModerated, event_id: str) -> int:
    """Decides between two decisions of one version, the same everywhere: the one that hides wins.

    Blocked ranks 1, allowed 0 (docs/adr/0019).
    """
    return ranked(1 if decision.moderation is Moderation.BLOCKED else 0, event_id)
