"""The acknowledgement of an image's event, and of a write with the state that it made."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

from sightline.engine.object_store.entries import Place
from sightline.engine.records import Message
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageState


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One acknowledged event and its place in the log."""

    event_id: str
    image_id: str
    version: int
    topic: str
    partition: int
    offset: int
    appended: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Published):
    """One acknowledged write: its event's place in the log, and the image as it is from now on."""

    state: ImageState


def written_at(event: Event[ImageState], place: Place) -> Written:
    """What is known of a write whose event lies in the log."""
    return Written(
        state=event.data,
        event_id=event.id,
        image_id=event.data.image_id,
        version=event.data.version,
        topic=place.topic,
        partition=place.partition,
        offset=place.offset,
        appended=place.appended,
    )


def written_when(sent: Future[Message], event: Event[ImageState]) -> Future[Written]:
    """The acknowledgement of a message as that of its event; an error stays the error."""
    written: Future[Written] = Future()
    written.set_running_or_notify_cancel()

    def ended(done: Future[Message]) -> None:
        error = done.exception()
        if error is not None:
            written.set_exception(error)
        else:
            written.set_result(written_at(event, Place.of(done.result())))

    sent.add_done_callback(ended)
    return written
