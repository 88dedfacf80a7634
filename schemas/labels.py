"""What the label join makes: closed searches, markers, triples (docs/labels.md)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

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
)
from sightline.schemas.judgements import Grade
from sightline.schemas.searches import MAX_SHOWN, Query, Team

MAX_SEARCHES = 50

Count = Annotated[int, Field(strict=True, ge=0)]
Epoch = Annotated[int, Field(strict=True, ge=0)]
Position = Annotated[int, Field(strict=True, ge=1, le=MAX_SHOWN)]


class Verdict(StrEnum):
    """What an actor's epoch looks like (docs/labels.md, 9)."""

    PERSON = "person"
    TOO_MANY = "too_many"
    TOO_COMPLETE = "too_complete"


class GradedImage(Contract):
    """One shown image, at its first position, with what was done with it."""

    image_id: ImageId
    """The image."""
    position: Position
    """Its first place on the page."""
    score: Finite
    """Cosine similarity to the query, there."""
    perceptual_hash: PerceptualHash
    """256-bit dHash."""
    grade: Grade
    """5 shared or converted, 4 liked, 3-1 clicked by dwell, 0 otherwise."""
    clicks: Count = 0
    """Counted clicks."""
    likes: Count = 0
    """Counted likes."""
    shares: Count = 0
    """Counted shares."""
    conversions: Count = 0
    """Counted conversions."""
    dwell_ms: Count | None = None
    """The greatest reported at or after the earliest click; null: not clicked, or unknown."""
    in_view_ms: Count | None = None
    """The greatest reported."""
    team: Team | None = None
    """On an interleaved page, whose result it is; null: the page is one ranking's."""


class SearchClosed(Contract):
    """One search with everything that counts of it, once its epoch has closed."""

    search_id: SearchId
    """The search."""
    issued_at: Time
    """When it was answered."""
    actor_id: ActorId
    """Who asked."""
    user_pseudonym: Id | None = None
    """Whom an erasure would name."""
    actor_pairs: Count = 0
    """Distinct (anchor, image) pairs that the actor clicked, liked, shared or converted in this
    epoch; 0 also where it was closed under rules version 1."""
    anchor_id: ImageId
    """What was asked by."""
    anchor_perceptual_hash: PerceptualHash
    """The 256-bit dHash of the anchor."""
    query: Query
    """Where the anchor's picture is found."""
    model_digest: Annotated[str, Field(max_length=128)]
    """What ranked it."""
    generation: Id
    """The index generation that was asked."""
    variant: Id
    """The arm of an A/B test."""
    verdict: Verdict
    """On its actor in this epoch."""
    examined: Annotated[int, Field(strict=True, ge=0, le=MAX_SHOWN)]
    """The greatest examined position, 0: none."""
    shown: Annotated[tuple[GradedImage, ...], Field(max_length=MAX_SHOWN)]
    """Each image once, by position."""


class SearchesClosed(EventData):
    """Up to 50 searches of one epoch, one source partition and one target partition."""

    TYPE: ClassVar[str] = "sightline.searches.closed.v1"

    source_partition: Count
    """The partition that the interactions were read from."""
    epoch: Epoch
    """The epoch that the searches were issued in."""
    searches: Annotated[tuple[SearchClosed, ...], Field(min_length=1, max_length=MAX_SEARCHES)]
    """By search id."""

    @property
    def subject(self) -> str:
        """Names the source partition and the epoch: `<partition>/<epoch>`."""
        return f"{self.source_partition}/{self.epoch}"


class EpochClosed(EventData):
    """A marker: everything of these epochs from one source partition lies before it."""

    TYPE: ClassVar[str] = "sightline.epoch.closed.v1"

    source_partition: Count
    """The partition that the interactions were read from."""
    first_epoch: Epoch
    """All from here on …"""
    epoch: Epoch
    """… to here; more than one only where all of them are empty."""

    @property
    def subject(self) -> str:
        """Names the source partition and the epoch: `<partition>/<epoch>`."""
        return f"{self.source_partition}/{self.epoch}"


class Stage(StrEnum):
    """The two stages of the label join."""

    JOIN = "join"
    MINE = "mine"


class EpochDone(EventData):
    """A stage has emitted everything of these epochs, and never does so again."""

    TYPE: ClassVar[str] = "sightline.epoch.done.v1"

    stage: Stage
    """Which stage."""
    topic: Annotated[str, Field(min_length=1, max_length=249)]
    """The topic that it reads, without the deployment's prefix."""
    partition: Count
    """The partition of that topic."""
    first_epoch: Epoch
    """All from here on …"""
    epoch: Epoch
    """… to here; more than one only where all of them are empty."""
    closed_at_offset: Count
    """x: records of these epochs at this offset or above came too late."""
    run_id: Id | None = None
    """Embedded, where offsets begin at 0 again: the run that they belong to."""

    @property
    def subject(self) -> str:
        """The Kafka key: one per stage, topic, partition and epoch."""
        run = f"{self.run_id}/" if self.run_id else ""
        return f"{run}{self.stage}/{self.topic}/{self.partition}/{self.epoch}"


class TripleMined(EventData):
    """For this anchor, somebody preferred one image to another that they had seen.

    The event's id is the triple's.
    """

    TYPE: ClassVar[str] = "sightline.triple.mined.v2"
    SUBJECT: ClassVar[str] = "anchor_id"

    anchor_id: ImageId
    """What was asked by; the Kafka key."""
    positive_id: ImageId
    """What was preferred."""
    negative_id: ImageId
    """What was seen and passed over."""
    grade: Annotated[int, Field(strict=True, ge=2, le=5)]
    """How much the positive was liked, 2-5."""
    positive_position: Position
    """Its place on the page."""
    negative_position: Position
    """Its place on the page."""
    positive_score: Finite
    """Its cosine similarity to the query."""
    negative_score: Finite
    """Its cosine similarity to the query."""
    sampling_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """1, or less where the actor acted on more pairs in the epoch than one may weigh."""
    search_id: SearchId
    """Where it was seen."""
    issued_at: Time
    """When that search was answered; erasures and retractions compare with it."""
    epoch: Epoch
    """The epoch that the search was issued in."""
    actor_id: ActorId
    """Who did; what an erasure names."""
    user_pseudonym: Id | None = None
    """The user, where known."""
    query: Query
    """Where the anchor's picture is found."""
    anchor_perceptual_hash: PerceptualHash
    """256-bit dHash: data sets never split near-duplicates."""
    positive_perceptual_hash: PerceptualHash
    """256-bit dHash."""
    negative_perceptual_hash: PerceptualHash
    """256-bit dHash."""
    model_digest: Annotated[str, Field(max_length=128)]
    """What ranked the page."""
    generation: Id
    """The index generation that was asked."""
    variant: Id
    """The arm of an A/B test."""
    rules_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")]
    """The version of the rules in docs/labels.md; part of the id."""


class TripleMinedV1(TripleMined):
    """The same under rules version 1, on the topic of that version."""

    TYPE: ClassVar[str] = "sightline.triple.mined.v1"

    sampling_weight: Annotated[float, Field(ge=1, allow_inf_nan=False)]
    """n ÷ k where the anchor's epoch had more than k triples, else 1."""


class RetractionCause(StrEnum):
    """Which event made a mined triple invalid."""

    USER_ERASED = "user_erased"
    IMAGE_DELETED = "image_deleted"
    IMAGE_HIDDEN = "image_hidden"


class TripleRetracted(EventData):
    """A mined triple is taken back for good; readers subtract it in whatever order they read."""

    TYPE: ClassVar[str] = "sightline.triple.retracted.v1"
    SUBJECT: ClassVar[str] = "anchor_id"

    triple_id: Sha256
    """The id of the `TripleMined`."""
    anchor_id: ImageId
    """Its anchor; the Kafka key."""
    cause: RetractionCause
    """Why."""
    cause_event_id: Id
    """The event that caused it."""
