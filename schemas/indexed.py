"""What became of an image event: the answer of the index worker, with the time of each hop."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from sightline.schemas.envelope import EventData
from sightline.schemas.fields import Contract, Id, ImageId, Time, Version


class Outcome(StrEnum):
    """The one end of every (image id, version) (docs/images.md)."""

    INDEXED = "indexed"
    HIDDEN = "hidden"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    DELETED = "deleted"
    DEAD_LETTERED = "dead_lettered"


class Lane(StrEnum):
    """Which image topic an event came on: live goes before backfill."""

    LIVE = "live"
    BACKFILL = "backfill"


class StageTimes(Contract):
    """When an event passed each stage; absent where it skipped one."""

    occurred: Time
    """CloudEvents `time`: the publisher's clock."""
    appended: Time
    """The record's timestamp in the log."""
    consumed: Time
    """The worker took it from the log."""
    fetched: Time | None = None
    """Its bytes were read from the object store."""
    embedded: Time | None = None
    """Its vector was there."""
    searchable: Time | None = None
    """From then on a query through the API returns the image, or never returns it again."""


class _Applied(EventData):
    SUBJECT: ClassVar[str] = "image_id"

    image_id: ImageId
    """The image; the Kafka key."""
    version: Version
    """The version that this is the end of; readers count distinct (image id, version)."""
    event_id: Id
    """The CloudEvents id of the image event."""
    lane: Lane
    """Which topic it came on."""
    times: StageTimes
    """The time of every hop; `searchable` - `appended` is the freshness."""
    generation: Id
    """The index generation that it was applied to."""
    model_digest: Annotated[str, Field(max_length=128)]
    """The vector space of that generation."""


class ImageIndexed(_Applied):
    """A version was applied (indexed, hidden, deleted), or a higher one was there (superseded)."""

    TYPE: ClassVar[str] = "sightline.image.indexed.v1"
    outcome: Outcome
    """How it ended; `superseded` counts only where there is no other outcome."""
    embedded: bool = False
    """Whether this version paid for an embedding; unchanged bytes do not."""


class ImageRejected(_Applied):
    """A version was applied, but its bytes are no picture that we accept."""

    TYPE: ClassVar[str] = "sightline.image.rejected.v1"
    outcome: Outcome = Outcome.REJECTED
    """Always `rejected`."""
    reason: Annotated[str, Field(max_length=64)]
    """Machine-readable, listed in `docs/images.md`; may grow."""
    message: Annotated[str, Field(max_length=512)]
    """A sentence that a person can act on."""
