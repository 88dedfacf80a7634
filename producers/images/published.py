"""The acknowledgement of an image's event."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sightline.engine.records import Message
from sightline.schemas.envelope import Event


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


def published_when(sent: Future[Message], event: Event[Any]) -> Future[Published]:
    """The acknowledgement of a message as that of its event; an error stays the error."""
    published: Future[Published] = Future()
    published.set_running_or_notify_cancel()

    def ended(done: Future[Message]) -> None:
        error = done.exception()
        if error is not None:
            published.set_exception(error)
            return
        message = done.result()
        published.set_result(
            Published(
                event_id=event.id,
                image_id=event.data.subject,
                version=event.data.version,
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                appended=message.timestamp,
            )
        )

    sent.add_done_callback(ended)
    return published
