"""One message of an image topic on its way through the worker, from poll to commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from sightline.engine.records import Fence, IndexedImage, Message, Stage, WinnerLocation
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.fields import NamedImage
from sightline.schemas.images import ImageState, tie
from sightline.schemas.indexed import Lane, Outcome, StageTimes
from sightline.schemas.registry import decode
from sightline.stream_workers.delivery.offsets import PartitionLedger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Polled(NamedTuple):
    """A message as it came, with the ledger to finish it in."""

    message: Message
    lane: Lane
    ledger: PartitionLedger
    consumed: datetime

    @property
    def key(self) -> TaskKey:
        """Of the events of the same image and partition."""
        image_id = (self.message.key or b"").decode(errors="replace")
        return TaskKey(self.message.topic, self.message.partition, image_id)


class PictureFacts(NamedTuple):
    """What looking at the bytes gave: all that is kept of them in the index."""

    content_sha256: str
    perceptual_hash: str
    width: int
    height: int
    vector: NDArray[np.float32]


class Rejection(NamedTuple):
    """Why the bytes are no picture that we accept."""

    reason: str
    message: str


class TaskKey(NamedTuple):
    """Events of one image in one partition take turns."""

    topic: str
    partition: int
    image_id: str


class Passed(NamedTuple):
    """A record of an image topic that has had its effect: an event, or a Kafka null."""

    image_id: str
    location: WinnerLocation
    fence: Fence | None
    """None: a null, which makes compaction forget the image."""


@dataclass(eq=False, slots=True, kw_only=True)
class ImageTask:
    """An image event being applied. One thread holds it at a time."""

    message: Message
    lane: Lane
    event: Event[ImageState]
    ledger: PartitionLedger
    consumed: datetime
    fetched: datetime | None = None
    embedded: datetime | None = None
    hidden: datetime | None = None
    """When the provisional write took the image out of the results."""
    searchable: datetime | None = None
    paid: bool = False
    """Whether this task made the embedding itself."""
    verdict: PictureFacts | Rejection | None = None
    data: bytes | None = None
    content_sha256: str | None = None
    fetch_attempts: int = 0
    missing_since_s: float | None = None
    """Monotonic time of the first look that found the object missing or different."""
    settled: bool = False
    """Whether the index was at or past it when it was planned: nothing to write."""
    hide_sent: bool = False
    """Whether its provisional write is under way or done."""

    @property
    def state(self) -> ImageState:
        """The whole state that the event carries."""
        return self.event.data

    @property
    def image_id(self) -> str:
        """The image."""
        return self.state.image_id

    @property
    def fence(self) -> Fence:
        """Of its final write."""
        return Fence(self.state.version, tie(self.state, self.event.id), int(Stage.FINAL))

    @property
    def promised_sha256(self) -> str | None:
        """Of its bytes: as they were read, else as the event says; None: unknown until read."""
        promised = self.state.object.sha256 if self.state.object else None
        return self.content_sha256 or promised

    @property
    def key(self) -> TaskKey:
        """What it takes turns with."""
        return TaskKey(self.message.topic, self.message.partition, self.image_id)

    @property
    def location(self) -> WinnerLocation:
        """Where it lies in the log."""
        return location_of(self.message)

    def passed(self) -> Passed:
        """What its having been here means for compaction."""
        return Passed(self.image_id, self.location, self.fence)

    def times(self) -> StageTimes:
        """When it passed each stage."""
        return StageTimes(
            occurred=self.event.time,
            appended=self.message.timestamp,
            consumed=self.consumed,
            fetched=self.fetched,
            embedded=self.embedded,
            searchable=self.searchable,
        )

    def image(self, outcome: Outcome, stage: Stage, applied: datetime) -> IndexedImage:
        """What to write for it; picture facts and rejection come from its verdict."""
        facts = self.verdict if isinstance(self.verdict, PictureFacts) else None
        no = self.verdict if isinstance(self.verdict, Rejection) else None
        return IndexedImage(
            state=self.state,
            event_id=self.event.id,
            event_source=self.event.source,
            tie=self.fence.tie,
            stage=stage,
            outcome=outcome,
            occurred=self.event.time,
            appended=self.message.timestamp,
            applied=applied,
            winner=self.location,
            reason=no.reason if no else None,
            message=no.message if no else None,
            content_sha256=facts.content_sha256 if facts else None,
            perceptual_hash=facts.perceptual_hash if facts else None,
            width=facts.width if facts else None,
            height=facts.height if facts else None,
            vector=facts.vector if facts else None,
        )


def location_of(message: Message) -> WinnerLocation:
    """Where a message lies in the log."""
    return WinnerLocation(message.topic, message.partition, message.offset)


def read_image_event(message: Message) -> Event[ImageState]:
    """The image event of a message.

    Raises:
        ContractError: it breaks the contract, is no image event, its key is not its image id
            (compaction would then keep or drop the wrong ones), or no URL can hold its image id.
    """
    event = decode(message.value)
    if not isinstance(event.data, ImageState):
        raise ContractError("type", f"{event.type} is not an image event")
    if message.key != event.data.image_id.encode():
        raise ContractError("key", "the record's key is not the event's image_id")
    try:
        NamedImage(image_id=event.data.image_id)
    except ValidationError as error:
        raise ContractError("data.image_id", ContractError.of(error).reason) from error
    return event
