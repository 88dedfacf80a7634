"""What was not counted, and why (docs/labels.md, 5)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from sightline.schemas.envelope import EventData
from sightline.schemas.fields import ActorId, Contract, Id, ImageId, SearchId, Time
from sightline.schemas.interactions import MAX_ITEMS
from sightline.schemas.labels import Count


class OmissionReason(StrEnum):
    """In this order, the first that fits."""

    AFTER_CLOSE = "after_close"
    FUTURE = "future"
    DUPLICATE = "duplicate"
    OUTSIDE_WINDOW = "outside_window"
    SECOND_IMPRESSION = "second_impression"
    NO_IMPRESSION = "no_impression"
    NOT_SHOWN = "not_shown"


class OmittedKind(StrEnum):
    """What was omitted: an impression, or one kind of interaction."""

    SHOWN = "shown"
    CLICKED = "clicked"
    LIKED = "liked"
    SHARED = "shared"
    CONVERTED = "converted"
    VIEWED = "viewed"


class Omission(Contract):
    """One impression or item that does not count."""

    index: Annotated[int, Field(strict=True, ge=0, lt=MAX_ITEMS)]
    """Its place in the record, from 0; 0 for an impression."""
    event_id: Id
    """The item's, or the impression's."""
    kind: OmittedKind
    """What it was."""
    image_id: ImageId | None = None
    """The item's image; null for an impression."""
    reason: OmissionReason
    """The first that fits."""


class InteractionsOmitted(EventData):
    """What of one record was not counted. At least once; a repeat has the same id."""

    TYPE: ClassVar[str] = "sightline.interactions.omitted.v1"
    SUBJECT: ClassVar[str] = "search_id"

    topic: Annotated[str, Field(min_length=1, max_length=249)]
    """Where the record lies, without the deployment's prefix."""
    partition: Count
    """The partition of that topic in which the record lies."""
    offset: Count
    """The offset of the record in that partition."""
    search_id: SearchId
    """The search that it names."""
    issued_at: Time
    """When the search was answered, by the record."""
    actor_id: ActorId
    """Who searched, by the record; the Kafka key."""
    omitted: Annotated[tuple[Omission, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    """By place in the record."""
