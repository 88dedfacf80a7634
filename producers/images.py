"""Publishes images: bytes to the object store, the event to the log, acknowledged or an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from pydantic import JsonValue

from sightline.engine.ports import Clock, EventProducer, ObjectStore
from sightline.engine.records import Message
from sightline.engine.traceparent import new_traceparent, traceparent_header
from sightline.producers.derived_ids import event_id_of
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Moderation, NamedImage, Visibility
from sightline.schemas.images import (
    Authority,
    ImageChanged,
    ImageDeleted,
    ImageState,
    ImageUploaded,
    ObjectReference,
)
from sightline.schemas.indexed import Lane
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, Topic

TOPIC_OF_LANE: Mapping[Lane, Topic] = {Lane.LIVE: IMAGES, Lane.BACKFILL: IMAGES_BACKFILL}
OCTETS = "application/octet-stream"


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


class ImagePublisher:
    """A platform service's way to say what happens to its images; safe across threads.

    An event that was taken ends as acknowledged or as an error, also when the producer is closed
    meanwhile; never in silence.

    Args:
        producer: the event log.
        store: the object store.
        bucket: where uploaded bytes are put, under `images/`.
        source: CloudEvents `source`: names the publishing service.
        clock: gives `time`, when an event occurred.
    """

    def __init__(
        self, producer: EventProducer, store: ObjectStore, *, bucket: str, source: str, clock: Clock
    ) -> None:
        self.producer = producer
        self.store = store
        self.bucket = bucket
        self.source = source
        self.clock = clock

    def upload(
        self,
        data: bytes,
        *,
        image_id: str,
        version: int,
        visibility: Visibility = Visibility.PRIVATE,
        moderation: Moderation = Moderation.ALLOWED,
        tags: Sequence[str] = (),
        owner_id: str | None = None,
        group_id: str | None = None,
        attributes: Mapping[str, JsonValue] | None = None,
        content_type: str = OCTETS,
        authority: Authority = Authority.OWNER,
        lane: Lane = Lane.LIVE,
    ) -> Published:
        """Store the bytes, publish `ImageUploaded`, return when both are acknowledged.

        A repeat with the same arguments is the same event again and changes nothing. An image is
        private unless its visibility is given.

        Raises:
            ValidationError: an argument is out of the contract's bounds; nothing was stored.
            PartUnavailable: store or broker did not acknowledge in time, the topic does not exist,
                an authorisation was refused, or the producer is closed; a repeat is safe.
            Overloaded: too many events wait in this process; nothing was sent.
            TooLarge: the event is over the topic's bound.
        """
        state = ImageUploaded(
            image_id=image_id,
            version=version,
            authority=authority,
            object=reference_to(data, self.bucket, image_id, content_type),
            visibility=visibility,
            moderation=moderation,
            tags=tuple(tags),
            owner_id=owner_id,
            group_id=group_id,
            attributes=dict(attributes or {}),
        )
        self.keep(state.object, data)
        return self.publish(state, lane=lane).result()

    def change(self, state: ImageState, *, version: int, **changes: Any) -> Published:
        """Publish `ImageChanged`: the whole state as it was, with `changes`, at a higher version.

        Args:
            state: the image as this service last published it.
            version: above `state.version`.
            changes: new values of `visibility`, `moderation`, `tags`, `owner_id`, `group_id` or
                `attributes`.

        Raises:
            As `upload`.
        """
        return self.publish(changed(state, version=version, **changes)).result()

    def delete(self, state: ImageState, *, version: int) -> Published:
        """Publish `ImageDeleted`, final against every lower version.

        Raises:
            As `upload`.
        """
        return self.publish(deleted(state, version=version)).result()

    def keep(self, reference: ObjectReference, data: bytes) -> None:
        """Put an image's bytes where its reference says. Raises `PartUnavailable`."""
        self.store.put(reference.bucket, reference.key, data, content_type=reference.content_type)

    def publish(
        self,
        state: ImageState,
        *,
        lane: Lane = Lane.LIVE,
        event_id: str | None = None,
        occurred: datetime | None = None,
        traceparent: str | None = None,
    ) -> Future[Published]:
        """Queue the event of a whole state; the future ends when it is acknowledged.

        Events of one image keep the order of these calls.

        Args:
            state: its class is the event's type.
            lane: live before backfill.
            event_id: none: derived from what the event says, so that a repeat is the same event.
            occurred: none: now.
            traceparent: W3C trace context to go on with; none: a new trace.

        Raises:
            ValidationError: the image's id is one that no URL can hold.
            Overloaded: too many events wait in this process; nothing was sent.
            PartUnavailable: the producer is closed. What else `upload` raises, the future does.
        """
        return self.publish_event(
            self.event_of(state, event_id=event_id, occurred=occurred),
            lane=lane,
            traceparent=traceparent,
        )

    def event_of(
        self, state: ImageState, *, event_id: str | None = None, occurred: datetime | None = None
    ) -> Event[ImageState]:
        """The CloudEvent that says a state, from this source.

        Raises:
            ValidationError: the image's id is one that no URL can hold.
        """
        NamedImage(image_id=state.image_id)
        return Event[ImageState].of(
            state,
            event_id=event_id or event_id_of(self.source, state.TYPE, state.model_dump_json()),
            source=self.source,
            time=occurred or self.clock.now(),
        )

    def publish_event(
        self, event: Event[Any], *, lane: Lane = Lane.LIVE, traceparent: str | None = None
    ) -> Future[Published]:
        """Queue a finished event, as it is; see `publish`."""
        sent = self.producer.append(
            TOPIC_OF_LANE[lane].name,
            event.data.subject,
            event.encode(),
            headers=[traceparent_header(traceparent or new_traceparent())],
        )
        return _then(sent, event)


def reference_to(data: bytes, bucket: str, image_id: str, content_type: str) -> ObjectReference:
    """Where bytes go in our bucket: by their digest, so that a version never changes its bytes.

    Raises:
        ValidationError: the image's id is out of the contract's bounds.
    """
    NamedImage(image_id=image_id)
    digest = sha256(data).hexdigest()
    return ObjectReference(
        bucket=bucket,
        key=f"images/{image_id}/{digest}",
        size_bytes=len(data),
        content_type=content_type,
        sha256=digest,
    )


def changed(state: ImageState, *, version: int, **changes: Any) -> ImageChanged:
    """The state with changes, validated anew. Raises `ValidationError`."""
    return ImageChanged.model_validate(_fields(state) | changes | {"version": version})


def deleted(state: ImageState, *, version: int) -> ImageDeleted:
    """The tombstone of a state: its bytes are no longer referred to."""
    return ImageDeleted.model_validate(_fields(state) | {"version": version, "object": None})


def _fields(state: ImageState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in type(state).model_fields}


def _then(sent: Future[Message], event: Event[Any]) -> Future[Published]:
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
