"""Publishes images: bytes to the object store, the event to the log, acknowledged or an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from sightline.engine.ports import Clock, EventProducer, ObjectStore
from sightline.engine.trace_context import new_traceparent, traceparent_header
from sightline.producers.images.content_types import OCTETS
from sightline.producers.images.ids import event_id_of
from sightline.producers.images.published import Published, published_when
from sightline.producers.images.states import changed, deleted, reference_to
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Moderation, NamedImage, Visibility
from sightline.schemas.images import (
    Authority,
    ImageState,
    ImageUploaded,
    ObjectReference,
)
from sightline.schemas.indexed import Lane
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, Topic

__all__ = [
    "TOPIC_OF_LANE",
    "ImagePublisher",
    "Published",
    "changed",
    "deleted",
    "reference_to",
]

TOPIC_OF_LANE: Mapping[Lane, Topic] = {Lane.LIVE: IMAGES, Lane.BACKFILL: IMAGES_BACKFILL}


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
        state = self.stored(
            data,
            image_id=image_id,
            version=version,
            visibility=visibility,
            moderation=moderation,
            tags=tags,
            owner_id=owner_id,
            group_id=group_id,
            attributes=attributes,
            content_type=content_type,
            authority=authority,
        )
        return self.publish(state, lane=lane).result()

    def stored(
        self,
        data: bytes,
        *,
        image_id: str,
        version: int,
        visibility: Visibility,
        moderation: Moderation,
        tags: Sequence[str],
        owner_id: str | None,
        group_id: str | None,
        attributes: Mapping[str, JsonValue] | None,
        content_type: str,
        authority: Authority,
    ) -> ImageUploaded:
        """Store the bytes; the state that is to be published then. Raises as `upload`."""
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
        return state

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
        return published_when(sent, event)
