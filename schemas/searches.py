"""What a search showed: the impression that clicks are later joined to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from sightline.schemas.envelope import EventData
from sightline.schemas.fields import (
    ActorId,
    Contract,
    Finite,
    Id,
    ImageId,
    PerceptualHash,
    SearchId,
    Sha256,
    Time,
    UnitInterval,
)
from sightline.schemas.images import ObjectReference

MAX_SHOWN = 100


class CropBox(Contract):
    """A part of an image, as fractions of its upright width and height, from the top left."""

    x: UnitInterval
    y: UnitInterval
    w: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    h: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]

    @model_validator(mode="after")
    def _inside(self) -> CropBox:
        if self.x + self.w > 1 + 1e-9 or self.y + self.h > 1 + 1e-9:
            raise ValueError("the box leaves the image: x + w and y + h must not pass 1")
        return self


class ImageQuery(Contract):
    """Asked by an image that is already indexed."""

    kind: Literal["image"] = "image"
    image_id: ImageId


class UploadQuery(Contract):
    """Asked by an uploaded picture, or a part of it; stored so that it can become an anchor."""

    kind: Literal["upload"] = "upload"
    sha256: Sha256
    object: ObjectReference | None = None
    """None where the caller asked us to keep nothing: such a search makes no triples."""
    crop: CropBox | None = None


Query = Annotated[ImageQuery | UploadQuery, Field(discriminator="kind")]


class ShownImage(Contract):
    """One result as it was shown."""

    image_id: ImageId
    position: Annotated[int, Field(strict=True, ge=1, le=MAX_SHOWN)]
    score: Finite
    """Cosine similarity to the query."""
    perceptual_hash: PerceptualHash


class Location(Contract):
    """Where the actor was, rounded by the caller; optional."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    region: Annotated[str, Field(max_length=64)] | None = None


class ResultsShown(EventData):
    """One page of results was shown to one actor: one event per page, not per image."""

    TYPE: ClassVar[str] = "sightline.results.shown.v1"

    search_id: SearchId
    issued_at: Time
    actor_id: ActorId
    session_id: Id
    user_pseudonym: Id | None = None
    """HMAC of the user id with the service's secret; a plain user id never reaches the log."""
    location: Location | None = None
    anchor_id: ImageId
    query: Query
    anchor_perceptual_hash: PerceptualHash
    shown: Annotated[tuple[ShownImage, ...], Field(max_length=MAX_SHOWN)]
    model_digest: Annotated[str, Field(max_length=128)]
    generation: Id
    variant: Id = "default"

    @property
    def subject(self) -> str:
        """The search."""
        return self.search_id
