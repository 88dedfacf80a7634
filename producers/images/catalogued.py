"""Images whose versions Sightline counts: catalogue first, by compare-and-set, then the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import JsonValue

from sightline.engine.errors import NotFound
from sightline.engine.object_store.catalogue import Catalogue
from sightline.producers.images.catalogue_writes import (
    BucketObject,
    CatalogueWrites,
    Known,
    Look,
    Permit,
    anyone,
    nothing_known,
)
from sightline.producers.images.content_types import OCTETS
from sightline.producers.images.publisher import (
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

__all__ = ["CataloguedImages", "Known", "Permit", "anyone", "nothing_known"]


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
        self._publisher = publisher
        self._writes = CatalogueWrites(catalogue, publisher, known)

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

        return self._writes.publish(
            self._writes.write(image_id, successor, if_match=if_match, again=again, permit=permit),
            lane,
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

        return self._writes.publish(self._writes.write(image_id, successor), lane)

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

        return self._writes.publish(
            self._writes.write(image_id, successor, if_match=if_match), lane
        )

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

        return self._writes.publish(
            self._writes.write(image_id, successor, if_match=if_match), lane
        )

    def follow_object(self, image_id: str, look: Look, lane: Lane = Lane.LIVE) -> Published | None:
        """Make an image what a watched bucket holds under its key, whatever was heard of it.

        Visibility, moderation and tags of a known image stay. A repeat changes nothing.

        Args:
            image_id: derived from bucket and key.
            look: looks at the object; called at the moment of the write.
            lane: of the event.

        Returns:
            None: there is no such object, and never was an image of it.

        Raises:
            Conflict: the image's owner counts its versions.
            PartUnavailable: store or broker; a repeat is safe.
        """
        entry = self._writes.follow(image_id, look, partial(_following, image_id))
        return None if entry is None else self._writes.publish(entry, lane)

    def publish_unpublished(self) -> list[Published]:
        """See `CatalogueWrites.publish_unpublished`."""
        return self._writes.publish_unpublished()

    def finish(self, image_id: str) -> Published | None:
        """See `CatalogueWrites.finish`."""
        return self._writes.finish(image_id)

    def _kept(
        self, image_id: str, data: bytes | ObjectReference, content_type: str
    ) -> ObjectReference:
        if isinstance(data, ObjectReference):
            return data
        reference = reference_to(data, self._publisher.bucket, image_id, content_type)
        self._publisher.keep(reference, data)
        return reference


def _following(
    image_id: str, state: ImageState | None, item: BucketObject | None, version: int
) -> ImageState:
    if item is None:
        if state is None:
            raise AssertionError("an image that never was is not deleted")
        gone = deleted(state, version=version)
        return gone.model_copy(update={"authority": Authority.SIGHTLINE})
    if state is None or isinstance(state, ImageDeleted):
        kept: dict[str, Any] = {"image_id": image_id, "visibility": item.visibility}
    else:
        kept = {name: getattr(state, name) for name in type(state).model_fields}
    return ImageUploaded.model_validate(
        kept | {"object": item.reference, "version": version, "authority": Authority.SIGHTLINE}
    )
