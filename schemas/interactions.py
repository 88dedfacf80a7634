"""What people did with what they were shown, and what else moves or ends the labels' time."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from sightline.schemas.envelope import EventData
from sightline.schemas.fields import ActorId, Contract, Id, ImageId, SearchId, Time
from sightline.schemas.searches import MAX_SHOWN

MAX_ITEMS = 100
DAY_MS = 86_400_000

Milliseconds = Annotated[int, Field(strict=True, ge=0, le=DAY_MS)]
"""A span of at most a day: a search id authorises nothing that is older."""


class Kind(StrEnum):
    """What somebody did with one shown image."""

    CLICKED = "clicked"
    LIKED = "liked"
    SHARED = "shared"
    CONVERTED = "converted"
    VIEWED = "viewed"


class Interaction(Contract):
    """One thing that somebody did with one shown image."""

    event_id: Id
    """Made by the client, unique within the search; a repeat is the same act sent again."""
    kind: Kind
    """What was done."""
    image_id: ImageId
    """With which of the shown images."""
    position: Annotated[int, Field(strict=True, ge=1, le=MAX_SHOWN)] | None = None
    """Where the client says it stood; another place than the page's is `not_shown`."""
    since_answer_ms: Milliseconds | None = None
    """Since the answer arrived, by the client's monotonic clock; null: `received_at` decides."""
    in_view_ms: Milliseconds | None = None
    """How long at least half of the image was in view."""
    dwell_ms: Milliseconds | None = None
    """How long the visitor stayed with what the image led to."""


class ResultsInteracted(EventData):
    """One beacon: what one actor did with one page of results. One record, several items."""

    TYPE: ClassVar[str] = "sightline.results.interacted.v1"
    SUBJECT: ClassVar[str] = "search_id"

    search_id: SearchId
    """The page; its signature alone authorises this."""
    issued_at: Time
    """When the page was given out, as the search id says; decides the epoch."""
    actor_id: ActorId
    """Who searched, by the search id; the Kafka key."""
    received_at: Time
    """When the API got the beacon."""
    items: Annotated[tuple[Interaction, ...], Field(min_length=1, max_length=MAX_ITEMS)]
    """What was done, in the client's order."""


class ClockTicked(EventData):
    """Time went on in a partition although nothing else may have happened."""

    TYPE: ClassVar[str] = "sightline.clock.ticked.v1"
    SUBJECT: ClassVar[str] = "ticker_id"

    ticker_id: Id
    """Who ticks: a worker of the join, an importer, the simulator."""


class UserErased(EventData):
    """Somebody asked to be forgotten: final for all their searches issued before."""

    TYPE: ClassVar[str] = "sightline.user.erased.v1"
    SUBJECT: ClassVar[str] = "user_pseudonym"

    user_pseudonym: ActorId
    """HMAC of the user id with the service's secret; the Kafka key, like their searches'."""
    erased_at: Time
    """Searches issued before this instant are forgotten."""
