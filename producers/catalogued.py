"""Images whose versions Sightline counts: catalogue first, by compare-and-set, then the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from sightline.engine.catalogue import Catalogue, CatalogueEntry, Place
from sightline.engine.errors import Conflict, NotFound
from sightline.producers.derived_ids import new_id
from sightline.producers.images import (
    OCTETS,
    ImagePublisher,
    Published,
    changed,
    deleted,
    reference_to,
)
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import (
    Authority,
    ImageDeleted,
    ImageState,
    ImageUploaded,
    ObjectReference,
)
from sightline.schemas.indexed import Lane

Known = Callable[[str], ImageState | None]
"""The state of an image that the catalogue does not have, from the index: backfilled ones."""
Successor = Callable[[ImageState | None, int], ImageState]
"""From the present state and the next version to the next state."""
Permit = Callable[[ImageState | None], None]
"""Raises where the caller may not write on top of the present state, or of none."""


def anyone(state: ImageState | None) -> None:
    """For callers who may write every image."""
    del state


def nothing_known(_image_id: str) -> ImageState | None:
    """For a deployment whose images are all in the catalogue."""
    return None


class CataloguedImages:
    """The `sightline` authority (docs/images.md): version = previous + 1, racing changes both kept.

    A crash between catalogue and log leaves an entry unpublished; `publish_unpublished` mends it.
    Every write here returns once its event is acknowledged.

    Args:
        catalogue: counts the versions.
        publisher: publishes the events.
        known: what else is known of an image when the catalogue has nothing.
    """

    def __init__(
        self, catalogue: Catalogue, publisher: ImagePublisher, *, known: Known = nothing_known
    ) -> None:
        self._catalogue = catalogue
        self._publisher = publisher
        self._known = known

    def put(
        self,
        image_id: str,
        data: bytes | ObjectReference,
        *,
        visibility: Visibility = Visibility.PRIVATE,
        moderation: Moderation = Moderation.ALLOWED,
        tags: Sequence[str] = (),
        owner_id: str | None = None,
        group_id: str | None = None,
        attributes: Mapping[str, JsonValue] | None = None,
        content_type: str = OCTETS,
        if_match: int | None = None,
        again: bool = False,
        permit: Permit = anyone,
        lane: Lane = Lane.LIVE,
    ) -> Published:
        """Upload or replace; the state that is stored already is not counted again.

        Args:
            image_id: new or known.
            data: bytes to keep in our bucket, or a reference to where they are.
            visibility: who may see it.
            moderation: blocked hides it.
            tags: for filters.
            owner_id: whose it is.
            group_id: several photos of one thing share it.
            attributes: opaque, returned with results.
            content_type: of `data`, where it is bytes.
            if_match: only if this is the present version.
            again: count it also if it says the same: the present version was rejected.
            permit: asked at the moment of the write, also again when somebody else was faster.
            lane: of the event.

        Raises:
            Conflict: another version than `if_match`, or the image's owner counts its versions.
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """
        reference = self._kept(image_id, data, content_type)

        def successor(_: ImageState | None, version: int) -> ImageState:
            return ImageUploaded(
                image_id=image_id,
                version=version,
                authority=Authority.SIGHTLINE,
                object=reference,
                visibility=visibility,
                moderation=moderation,
                tags=tuple(tags),
                owner_id=owner_id,
                group_id=group_id,
                attributes=dict(attributes or {}),
            )

        return self._publish(
            self._write(image_id, successor, if_match=if_match, again=again, permit=permit), lane
        )

    def replace_bytes(
        self, image_id: str, data: bytes | ObjectReference, *, lane: Lane = Lane.LIVE
    ) -> Published:
        """New bytes of a known image; everything else stays.

        Raises:
            NotFound: no such image, or it is deleted.
            Conflict: the image's owner counts its versions.
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """
        reference = self._kept(image_id, data, OCTETS)

        def successor(state: ImageState | None, version: int) -> ImageState:
            if state is None or isinstance(state, ImageDeleted):
                raise NotFound(f"no image {image_id}")
            same = {name: getattr(state, name) for name in type(state).model_fields}
            return ImageUploaded.model_validate(
                same | {"object": reference, "version": version, "authority": Authority.SIGHTLINE}
            )

        return self._publish(self._write(image_id, successor), lane)

    def patch(
        self,
        image_id: str,
        changes: Mapping[str, Any],
        *,
        if_match: int | None = None,
        lane: Lane = Lane.LIVE,
    ) -> Published:
        """Change what `changes` names; of two racing patches none undoes the other.

        Raises:
            NotFound: no such image, or it is deleted.
            Conflict: another version than `if_match`, or the image's owner counts its versions.
            ValidationError: a change is out of bounds.
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """

        def successor(state: ImageState | None, version: int) -> ImageState:
            if state is None or isinstance(state, ImageDeleted):
                raise NotFound(f"no image {image_id}")
            return changed(state, version=version, authority=Authority.SIGHTLINE, **changes)

        return self._publish(self._write(image_id, successor, if_match=if_match), lane)

    def delete(
        self, image_id: str, *, if_match: int | None = None, lane: Lane = Lane.LIVE
    ) -> Published:
        """Delete for good; deleting a deleted image changes nothing.

        Raises:
            NotFound: no such image.
            Conflict: another version than `if_match`, or the image's owner counts its versions.
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """

        def successor(state: ImageState | None, version: int) -> ImageState:
            if state is None:
                raise NotFound(f"no image {image_id}")
            gone = deleted(state, version=version)
            return gone.model_copy(update={"authority": Authority.SIGHTLINE})

        return self._publish(self._write(image_id, successor, if_match=if_match), lane)

    def object_created(
        self,
        image_id: str,
        reference: ObjectReference,
        *,
        sequencer: int,
        visibility: Visibility,
        lane: Lane = Lane.LIVE,
    ) -> Published | None:
        """A bucket notification: new bytes; visibility, moderation and tags of a known image stay.

        Args:
            image_id: derived from bucket and key.
            reference: the object.
            sequencer: of the notification; grows with every event of the object.
            visibility: of an image that is new, or was deleted.
            lane: of the event.

        Returns:
            None: the notification is older than one that was handled already.

        Raises:
            Conflict: the image's owner counts its versions.
            PartUnavailable: store or broker; a repeat is safe.
        """

        def successor(state: ImageState | None, version: int) -> ImageState:
            if state is None or isinstance(state, ImageDeleted):
                fresh = {"image_id": image_id, "visibility": visibility}
            else:
                fresh = {name: getattr(state, name) for name in type(state).model_fields}
            return ImageUploaded.model_validate(
                fresh | {"object": reference, "version": version, "authority": Authority.SIGHTLINE}
            )

        return self._noticed(image_id, successor, sequencer, lane)

    def object_removed(
        self, image_id: str, *, sequencer: int, lane: Lane = Lane.LIVE
    ) -> Published | None:
        """A bucket notification: the object is gone, so the image is deleted.

        An image that was never heard of is noted as deleted all the same: its creation may come
        late, and must lose.

        Returns:
            None: the notification is older than one that was handled already.

        Raises:
            As `object_created`.
        """

        def successor(state: ImageState | None, version: int) -> ImageState:
            fields = {"image_id": image_id, "version": version, "object": None}
            gone = (
                ImageDeleted.model_validate(fields)
                if state is None
                else deleted(state, version=version)
            )
            return gone.model_copy(update={"authority": Authority.SIGHTLINE})

        return self._noticed(image_id, successor, sequencer, lane)

    def publish_unpublished(self) -> list[Published]:
        """Publish again every entry without a noted acknowledgement; a repeat finds none.

        The very event that was written is published, so one that did arrive is only repeated.

        Raises:
            PartUnavailable: store or broker; a repeat goes on.
        """
        return [
            self._publish(entry, Lane.LIVE)
            for entry in self._catalogue.scan()
            if entry.published is None
        ]

    def finish(self, image_id: str) -> Published | None:
        """Publish one image's entry if that was never noted; a repeat does nothing.

        Raises:
            PartUnavailable: store or broker; a repeat is safe.
        """
        entry = self._catalogue.read(image_id)
        if entry is None or entry.published is not None:
            return None
        return self._publish(entry, Lane.LIVE)

    def _kept(
        self, image_id: str, data: bytes | ObjectReference, content_type: str
    ) -> ObjectReference:
        if isinstance(data, ObjectReference):
            return data
        reference = reference_to(data, self._publisher.bucket, image_id, content_type)
        self._publisher.keep(reference, data)
        return reference

    def _noticed(
        self, image_id: str, successor: Successor, sequencer: int, lane: Lane
    ) -> Published | None:
        entry = self._write(image_id, successor, sequencer=sequencer)
        return self._publish(entry, lane) if entry.sequencer == sequencer else None

    def _write(
        self,
        image_id: str,
        successor: Successor,
        *,
        if_match: int | None = None,
        sequencer: int | None = None,
        again: bool = False,
        permit: Permit = anyone,
    ) -> CatalogueEntry:
        """The entry after the write: a new one, or the old one where nothing was to be done."""

        def decide(found: CatalogueEntry | None) -> CatalogueEntry | None:
            if found is not None and not _is_newer(sequencer, found.sequencer):
                return None
            state = self._known(image_id) if found is None else found.state
            permit(state)
            _check(image_id, state, if_match)
            following = successor(state, 1 if state is None else state.version + 1)
            once = sequencer is None and not again
            if found is not None and once and _says_the_same(following, found.state):
                return None
            event = self._publisher.event_of(following, event_id=new_id())
            handled = None if found is None else found.sequencer
            return CatalogueEntry(
                event=event, sequencer=handled if sequencer is None else sequencer
            )

        entry = self._catalogue.update(image_id, decide)
        if entry is None:
            raise NotFound(f"no image {image_id}")
        return entry

    def _publish(self, entry: CatalogueEntry, lane: Lane) -> Published:
        place = entry.published
        if place is None:
            published = self._publisher.publish_event(entry.event, lane=lane).result()
            self._note(entry, published)
            return published
        return Published(
            event_id=entry.event.id,
            image_id=entry.state.image_id,
            version=entry.state.version,
            topic=place.topic,
            partition=place.partition,
            offset=place.offset,
            appended=place.appended,
        )

    def _note(self, entry: CatalogueEntry, published: Published) -> None:
        place = Place(
            topic=published.topic,
            partition=published.partition,
            offset=published.offset,
            appended=published.appended,
        )
        try:
            self._catalogue.write(replace(entry, published=place))
        except Conflict:
            return  # a newer version is there by now, which is published by its own writer


def _is_newer(sequencer: int | None, handled: int | None) -> bool:
    return sequencer is None or handled is None or sequencer > handled


def _check(image_id: str, state: ImageState | None, if_match: int | None) -> None:
    if if_match is not None and (state is None or state.version != if_match):
        present = "not there" if state is None else f"at version {state.version}"
        raise Conflict(f"image {image_id} is {present}, not at version {if_match}")
    if state is not None and state.authority is Authority.OWNER:
        raise Conflict(f"image {image_id}: its owner counts the versions, so send one")


def _says_the_same(following: ImageState, present: ImageState) -> bool:
    """Whether a write would change nothing but the number; an upload repeats a change too."""
    if isinstance(following, ImageDeleted) != isinstance(present, ImageDeleted):
        return False
    ignored = {"version"}
    return following.model_dump(exclude=ignored) == present.model_dump(exclude=ignored)
