"""Images and the operator's decisions as the index keeps them, and what may overwrite what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from sightline.schemas.envelope import Event
from sightline.schemas.fields import Moderation
from sightline.schemas.images import (
    ImageDeleted,
    ImageState,
    ObjectReference,
    hiding_rank,
)
from sightline.schemas.indexed import Outcome
from sightline.schemas.moderation import ImageModerated, decision_tie

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


UNREADABLE = "unreadable"
"""Stands for the event's id and source where what the index stores of it cannot be read."""


class ImageStage(IntEnum):
    """How far a version has been applied: hiding comes first, before and without the bytes."""

    PROVISIONAL = 0
    FINAL = 1


class Fence(NamedTuple):
    """The order of what may overwrite what: a write applies iff its fence is above the stored one.

    version < v OR (version = v AND tie < t) as docs/adr/0003 says, and within one event the final
    write follows the provisional one that hid the image.
    """

    version: int
    tie: int
    stage: int


class DecisionFence(NamedTuple):
    """The order of the operator's decisions about one image; apart from the image's own fence."""

    version: int
    tie: int


class WinnerLocation(NamedTuple):
    """Where in the log the winning event lies, so that it can be appended there again."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedDecision:
    """The operator's newest decision about an image as the index keeps it, image or none."""

    decision: ImageModerated
    tie: int
    event_id: str
    event_source: str
    occurred: datetime
    appended: datetime
    winner: WinnerLocation
    """Where its event lies."""

    @classmethod
    def of(
        cls, event: Event[ImageModerated], *, appended: datetime, winner: WinnerLocation
    ) -> IndexedDecision:
        """What to keep of an event that was read from the log."""
        return cls(
            decision=event.data,
            tie=decision_tie(event.data, event.id),
            event_id=event.id,
            event_source=event.source,
            occurred=event.time,
            appended=appended,
            winner=winner,
        )

    @property
    def image_id(self) -> str:
        """Names the image that the decision is about, indexed or not."""
        return self.decision.image_id

    @property
    def fence(self) -> DecisionFence:
        """What decides whether it overwrites the decision that is stored."""
        return DecisionFence(self.decision.version, self.tie)

    @property
    def may_be_forgotten(self) -> bool:
        """Whether a null behind it is meant; none ever is behind a decision."""
        return False

    @property
    def unreadable(self) -> bool:
        """Whether what is stored cannot be read: only the block is true of it."""
        return self.event_id == UNREADABLE

    @property
    def blocks(self) -> bool:
        """Whether the decision hides the image from searches."""
        return self.decision.moderation is Moderation.BLOCKED

    @property
    def event(self) -> Event[ImageModerated]:
        """The event as it was: the same id, so the same tie."""
        return Event[ImageModerated].of(
            self.decision,
            event_id=self.event_id,
            source=self.event_source,
            time=self.occurred,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedImage:
    """One image as the index keeps it: the catalogue entry, and the vector where there is one."""

    state: ImageState
    """The whole state of the winning event; its class is the event's type."""
    event_id: str
    event_source: str
    tie: int
    stage: ImageStage
    outcome: Outcome
    """INDEXED, HIDDEN, REJECTED or DELETED."""
    occurred: datetime
    appended: datetime
    applied: datetime
    """When this process wrote it: `searchable` of the version."""
    winner: WinnerLocation
    reason: str | None = None
    message: str | None = None
    content_sha256: str | None = None
    """The hash of the bytes that the vector was made from; equal bytes are not embedded again."""
    perceptual_hash: str | None = None
    width: int | None = None
    height: int | None = None
    cluster: str | None = None
    """Look-alikes share it; None: no vector, or embedded before there were clusters."""
    since: datetime | None = None
    """From when on its owner has listed these bytes: among equal pictures the first stays."""
    decision: IndexedDecision | None = None
    """The operator's; read with the image, never written with it: `VectorIndex.moderate` does."""
    unreadable: bool = False
    """Whether what is stored cannot be read: only id, version and fence are true of it."""
    vector: NDArray[np.float32] | None = None
    features: NDArray[np.uint8] | None = None
    """What the network saw, as `vector_index/packed_features.py` packs it: bytes."""

    @property
    def image_id(self) -> str:
        """Names the image whose state and vector these are."""
        return self.state.image_id

    @property
    def version(self) -> int:
        """The version that was applied: the newest that the index has seen."""
        return self.state.version

    @property
    def object(self) -> ObjectReference | None:
        """Where the bytes of the image lie, if it has any."""
        return self.state.object

    @property
    def fence(self) -> Fence:
        """What decides whether it overwrites what is stored."""
        return Fence(self.version, self.tie, int(self.stage))

    @property
    def may_be_forgotten(self) -> bool:
        """Whether a null behind it is meant: one is only written for an expired tombstone."""
        return isinstance(self.state, ImageDeleted)

    @property
    def blocked(self) -> bool:
        """Whether the operator hides it, whatever its owner says."""
        return self.decision is not None and self.decision.blocks

    @property
    def listed(self) -> bool:
        """Whether a search may return it: public by its owner, and not blocked by the operator."""
        return self.listed_by_owner and not self.blocked

    @property
    def listed_by_owner(self) -> bool:
        """Whether a search may return it as far as its own events say."""
        return (
            self.outcome is Outcome.INDEXED
            and self.vector is not None
            and hiding_rank(self.state) == 0
            and not isinstance(self.state, ImageDeleted)
        )
