"""Publishes images: bytes to the object store, the event to the log, acknowledged or an error."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from datetime import datetime
from typing import Unpack

from sightline.engine.ports import Clock, EventProducer, ObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.trace_context import new_traceparent, traceparent_header
from sightline.producers.images.content_types import OCTETS
from sightline.producers.images.ids import event_id_of, refuse_derived
from sightline.producers.images.originals import Original, original_of
from sightline.producers.images.published import Written, written_when
from sightline.producers.images.states import ImageFacts, changed, deleted, uploaded
from sightline.schemas.envelope import Event
from sightline.schemas.fields import NamedImage, OwnersCount, OwnersDelete
from sightline.schemas.images import ImageState, ImageUploaded
from sightline.schemas.indexed import Lane
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, Topic

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
        data: bytes | Original,
        *,
        image_id: str,
        version: int,
        content_type: str = OCTETS,
        lane: Lane = Lane.LIVE,
        **facts: Unpack[ImageFacts],
    ) -> Written:
        """Store the bytes, publish `ImageUploaded`, return when both are acknowledged.

        A repeat with the same arguments is the same event again and changes nothing. An image is
        private unless its visibility is given.

        Args:
            data: the picture; an `Original` where it was hashed before.
            image_id: yours.
            version: your counter: grows with every event of this image.
            content_type: of bytes, as you know it; a hint.
            lane: live before backfill.
            facts: `visibility`, `moderation`, `tags`, `owner_id`, `group_id`, `attributes`.

        Raises:
            ValidationError: an argument is out of the contract's bounds; nothing was stored.
            IdReserved: the image's id has the form of a derived one; nothing was stored.
            TypeError: an argument that images do not have; nothing was stored.
            PartUnavailable: store or broker did not acknowledge in time, the topic does not exist,
                an authorisation was refused, or the producer is closed; a repeat is safe.
            Overloaded: too many events wait in this process; nothing was sent.
            TooLarge: the event is over the topic's bound.
        """
        refuse_derived(image_id)
        original = self.original(image_id, data, content_type)
        state = self.stored(image_id, original, facts, version=version)
        return self.publish(state, lane=lane).result()

    def original(
        self, image_id: str, data: bytes | Original, content_type: str = OCTETS
    ) -> Original:
        """Bytes, hashed, and their place in our bucket; an `Original` stays as it is.

        Raises:
            ValidationError: the image's id is out of the contract's bounds.
        """
        if isinstance(data, Original):
            return data
        return original_of(data, bucket=self.bucket, image_id=image_id, content_type=content_type)

    def stored(
        self, image_id: str, original: Original, facts: ImageFacts, *, version: int
    ) -> ImageUploaded:
        """Store the bytes; the state that is to be published then. Raises as `upload`."""
        refuse_derived(image_id)
        OwnersCount(version=version)
        state = uploaded(image_id, original.reference, facts, version=version)
        self.keep(original)
        return state

    def change(self, state: ImageState, *, version: int, **changes: Unpack[ImageFacts]) -> Written:
        """Publish `ImageChanged`: the whole state as it was, with `changes`, at a higher version.

        Args:
            state: the image as this service last published it.
            version: above `state.version`.
            changes: new values of `visibility`, `moderation`, `tags`, `owner_id`, `group_id` or
                `attributes`.

        Raises:
            As `upload`.
        """
        return self.changing(state, changes, version=version).result()

    def delete(self, state: ImageState, *, version: int) -> Written:
        """Publish `ImageDeleted`, final against every lower version.

        Raises:
            As `upload`.
        """
        return self.deleting(state, version=version).result()

    def changing(self, state: ImageState, changes: ImageFacts, *, version: int) -> Future[Written]:
        """Check and queue a change; the future ends as `change` does. Raises as `publish`."""
        OwnersCount(version=version)
        return self.publish(changed(state, changes, version=version), known=True)

    def deleting(self, state: ImageState, *, version: int) -> Future[Written]:
        """Check and queue a delete; the future ends as `delete` does. Raises as `publish`."""
        OwnersDelete(version=version)
        return self.publish(deleted(state, version=version), known=True)

    def keep(self, original: Original) -> None:
        """Put bytes where their reference says, unless they lie there. Raises `PartUnavailable`."""
        if original.data is not None:
            place = original.reference
            self.store.put(place.bucket, place.key, original.data, content_type=place.content_type)

    def publish(
        self,
        state: ImageState,
        *,
        lane: Lane = Lane.LIVE,
        event_id: str | None = None,
        occurred: datetime | None = None,
        traceparent: str | None = None,
        known: bool = False,
    ) -> Future[Written]:
        """Queue the event of a whole state; the future ends when it is acknowledged.

        Events of one image keep the order of these calls.

        Args:
            state: its class is the event's type.
            lane: live before backfill.
            event_id: none: derived from what the event says, so that a repeat is the same event.
            occurred: none: now.
            traceparent: W3C trace context to go on with; none: a new trace.
            known: the state follows one that was published; else it may make an image, and must
                not have the id of a file, an object or a query.

        Raises:
            IdReserved: the image's id has the form of a derived one.
            ValidationError: the image's id is one that no URL can hold.
            Overloaded: too many events wait in this process; nothing was sent.
            PartUnavailable: the producer is closed. What else `upload` raises, the future does.
        """
        if not known:
            refuse_derived(state.image_id)
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
        self, event: Event[ImageState], *, lane: Lane = Lane.LIVE, traceparent: str | None = None
    ) -> Future[Written]:
        """Queue a finished event, as it is; see `publish`."""
        sent = self.producer.append(
            ProducerRecord(
                TOPIC_OF_LANE[lane].name,
                event.data.image_id,
                event.encode(),
                headers=[traceparent_header(traceparent or new_traceparent())],
            )
        )
        return written_when(sent, event)
