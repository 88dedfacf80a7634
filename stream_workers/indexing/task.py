"""One image event on its way through the worker: what each step has found out, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from sightline.engine.records import Fence, ImageStage, Message, WinnerLocation
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageState, hiding_rank, tie
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.offsets import PartitionLedger
from sightline.stream_workers.image_log.winners import Passed, location_of
from sightline.stream_workers.indexing.byte_budget import HeldBytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TaskKey(NamedTuple):
    """Names the events of one image in one partition, which take turns."""

    topic: str
    partition: int
    image_id: str


class Polled(NamedTuple):
    """A record as it was polled, with the ledger that its offset is finished in."""

    message: Message
    lane: Lane
    ledger: PartitionLedger
    consumed: datetime

    @property
    def key(self) -> TaskKey:
        """The image and partition whose events the record takes turns with."""
        return TaskKey(self.message.topic, self.message.partition, self.message.key_text)

    @property
    def location(self) -> WinnerLocation:
        """Where the record lies in the log."""
        return location_of(self.message)


@dataclass(frozen=True, eq=False)
class ImageTask:
    """One delivery of an image event: the same object from its first planning to its end.

    Told apart by identity, since two deliveries of one event are two tasks. Key and fence are asked
    for some twenty times on the way, and made once.
    """

    polled: Polled
    event: Event[ImageState]

    @property
    def lane(self) -> Lane:
        """The lane that the event came on."""
        return self.polled.lane

    @property
    def state(self) -> ImageState:
        """The whole state of the image that the event carries."""
        return self.event.data

    @property
    def image_id(self) -> str:
        """The id of the image that the event is about."""
        return self.state.image_id

    @cached_property
    def key(self) -> TaskKey:
        """The image and partition whose events the task takes turns with."""
        return self.polled.key

    @cached_property
    def fence(self) -> Fence:
        """The fence of the task's final write."""
        return Fence(self.state.version, tie(self.state, self.event.id), int(ImageStage.FINAL))

    @property
    def hides(self) -> bool:
        """Whether the event takes its image out of the results whatever its bytes are."""
        return hiding_rank(self.state) > 0


class Fetched(NamedTuple):
    """A task whose object was read and is what the event promised."""

    task: ImageTask
    content_sha256: str
    held: HeldBytes
    at: datetime

    @property
    def lane(self) -> Lane:
        """The lane that the event came on."""
        return self.task.lane


class PictureFacts(NamedTuple):
    """What looking at the bytes gave: all that is kept of them in the index."""

    content_sha256: str
    perceptual_hash: str
    width: int
    height: int
    cluster: str | None
    """Look-alikes share it; None: it is decided when the picture is written."""
    since: datetime | None
    """From when on the image has had these bytes; None: from this event on."""
    vector: NDArray[np.float32]
    features: NDArray[np.uint8] | None
    """What the network saw, packed; None: the generation keeps none, or has none of these bytes."""


class Rejection(NamedTuple):
    """Why the bytes are no picture that we accept."""

    reason: str
    message: str


Verdict = PictureFacts | Rejection


class Judged(NamedTuple):
    """A task and all that is known of its bytes when it is planned or written."""

    task: ImageTask
    verdict: Verdict | None = None
    """None: not known, or not needed, as for a delete."""
    fetched: Fetched | None = None
    """None: the bytes were not read for this task."""
    embedded: datetime | None = None
    """When this task's own embedding was made; None: another's was taken, or there is none."""

    @property
    def lane(self) -> Lane:
        """The lane that the event came on."""
        return self.task.lane

    @property
    def sha256(self) -> str | None:
        """The bytes' SHA-256 as read, else as the event promises; None: unknown until read."""
        promised = self.task.state.object.sha256 if self.task.state.object else None
        return self.fetched.content_sha256 if self.fetched else promised


Planned = ImageTask | Fetched | Judged
"""A task that was planned before and may have to be planned again, with what is known by then."""


def known_of(item: Planned) -> Judged:
    """Return what is known of a task, whatever step it comes from."""
    match item:
        case ImageTask():
            return Judged(item)
        case Fetched():
            return Judged(item.task, fetched=item)
        case Judged():
            return item


def passed_of(item: Polled | ImageTask) -> Passed | None:
    """Return what a record's having been here means for compaction; None: it is no image event."""
    if isinstance(item, ImageTask):
        return Passed(item.image_id, item.polled.location, item.fence)
    if item.message.value is None:
        return Passed(item.key.image_id, item.location, None)
    return None
