"""What a search showed: the impression that clicks are later joined to."""

from __future__ import annotations

from enum import StrEnum
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

IMPORTED_GENERATION = "imported"
"""The generation of pages from a log that a site already had."""
MAX_SHOWN = 100


class CropBox(Contract):
    """A part of an image, as fractions of its upright width and height, from the top left."""

    x: UnitInterval
    """Left edge."""
    y: UnitInterval
    """Top edge."""
    w: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    """Width; x + w is at most 1."""
    h: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    """Height; y + h is at most 1."""

    @model_validator(mode="after")
    def _inside(self) -> CropBox:
        if self.x + self.w > 1 + 1e-9 or self.y + self.h > 1 + 1e-9:
            raise ValueError("the box leaves the image: x + w and y + h must not pass 1")
        return self


class ImageQuery(Contract):
    """Asked by an image that is already indexed."""

    kind: Literal["image"] = "image"
    """Tells the two kinds of query apart."""
    image_id: ImageId
    """The image that was asked by."""


class UploadQuery(Contract):
    """Asked by an uploaded picture, or a part of it; stored so that it can become an anchor."""

    kind: Literal["upload"] = "upload"
    """Tells the two kinds of query apart."""
    sha256: Sha256
    """The hash of the uploaded bytes."""
    object: ObjectReference | None = None
    """Where they are kept for 30 days; null where the caller asked us to keep nothing: such a
    search makes no triples."""
    crop: CropBox | None = None
    """The part that was asked by; null: the whole picture."""


Query = Annotated[ImageQuery | UploadQuery, Field(discriminator="kind")]


class Team(StrEnum):
    """Which of two rankings put a result on an interleaved page."""

    CONTROL = "control"
    TREATMENT = "treatment"


class ShownImage(Contract):
    """One result on the page: which image, at which place, with which score."""

    image_id: ImageId
    """The image that was shown."""
    position: Annotated[int, Field(strict=True, ge=1, le=MAX_SHOWN)]
    """Place on the page, from 1."""
    score: Finite
    """Cosine similarity to the query."""
    perceptual_hash: PerceptualHash
    """256-bit dHash: near-duplicates of anchor or positive never become negatives."""
    team: Team | None = None
    """On an interleaved page, whose result it is; null: the page is one ranking's."""


class Location(Contract):
    """Where the actor was, rounded by the caller; optional."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    """ISO 3166-1 alpha-2."""
    region: Annotated[str, Field(max_length=64)] | None = None
    """A part of the country, as coarse as the caller likes."""


class ResultsShown(EventData):
    """One page of results was shown to one actor: one event per page, not per image."""

    TYPE: ClassVar[str] = "sightline.results.shown.v1"
    SUBJECT: ClassVar[str] = "search_id"

    search_id: SearchId
    """Sealed from the start; it alone authorises the interactions with this page."""
    issued_at: Time
    """When the answer was given, by the API's clock."""
    actor_id: ActorId
    """The pseudonymous user, else the session; the Kafka key."""
    session_id: Id
    """The caller's, or made by the API."""
    user_pseudonym: Id | None = None
    """HMAC of the user id with the service's secret; a plain user id never reaches the log."""
    location: Location | None = None
    """Optional."""
    anchor_id: ImageId
    """What was asked by: the image id, or `q-` and 32 hex digits of SHA-256(bytes, box)."""
    query: Query
    """How it was asked."""
    anchor_perceptual_hash: PerceptualHash
    """256-bit dHash of what was asked by."""
    shown: Annotated[tuple[ShownImage, ...], Field(max_length=MAX_SHOWN)]
    """The page, in order; an empty one is an answer, too."""
    model_digest: Annotated[str, Field(max_length=128)]
    """The vector space that ranked it."""
    generation: Id
    """The index generation that was asked."""
    variant: Id = "default"
    """The arm of an A/B test."""
