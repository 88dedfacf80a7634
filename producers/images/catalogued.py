"""Images whose versions Sightline counts: catalogue first, by compare-and-set, then the log."""

from __future__ import annotations

from functools import partial
from typing import Unpack

from sightline.engine.errors import NotFound
from sightline.engine.object_store.catalogue import Catalogue
from sightline.producers.images.bucket_object import BucketObject
from sightline.producers.images.catalogue_writes import (
    CatalogueWrites,
    Known,
    Look,
    nothing_known,
)
from sightline.producers.images.content_types import OCTETS
from sightline.producers.images.ids import refuse_derived
from sightline.producers.images.originals import Original
from sightline.producers.images.published import Written
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.states import ImageFacts, changed, deleted, uploaded, with_bytes
from sightline.producers.images.terms import Terms
from sightline.schemas.fields import Moderation
from sightline.schemas.images import Authority, ImageDeleted, ImageState, ObjectReference
from sightline.schemas.indexed import Lane

OURS = Authority.SIGHTLINE
ANY_TERMS = Terms()


class CataloguedImages:
    """The `sightline` authority (docs/images.md): version = previous + 1, racing changes both kept.

    A crash between catalogue and log leaves an entry unpublished; `Unpublished` mends it.
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
        data: bytes | Original,
        *,
        content_type: str = OCTETS,
        terms: Terms = ANY_TERMS,
        **facts: Unpack[ImageFacts],
    ) -> Written:
        """Upload or replace; the state that is stored already is not counted again.

        Args:
            image_id: new or known.
            data: bytes to keep in our bucket, or an `Original` that was hashed before.
            content_type: of bytes, as far as it is known.
            terms: of the write.
            facts: what is said of the image; what is not has the contract's default.

        Raises:
            IdReserved: the id has the form of a derived one.
            Conflict: another version than `terms.if_match`, or the owner counts the versions.
            ValidationError: a fact is out of the contract's bounds.
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """
        refuse_derived(image_id)
        reference = self._kept(image_id, data, content_type)

        def successor(state: ImageState | None, version: int) -> ImageState:
            said = facts if state is None else _hidden_as_before(state, facts)
            return uploaded(image_id, reference, said, version=version, authority=OURS)

        return self._writes.write(image_id, successor, terms)

    def replace_bytes(
        self, image_id: str, data: bytes | Original, *, lane: Lane = Lane.LIVE
    ) -> Written:
        """New bytes of a known image; everything else stays.

        Raises:
            NotFound: no such image, or it is deleted.
            Conflict: the image's owner counts its versions.
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """
        reference = self._kept(image_id, data)

        def successor(state: ImageState | None, version: int) -> ImageState:
            present = _present(image_id, state)
            return with_bytes(present, reference, version=version, authority=OURS)

        return self._writes.write(image_id, successor, ANY_TERMS, lane=lane)

    def patch(self, image_id: str, changes: ImageFacts, *, terms: Terms = ANY_TERMS) -> Written:
        """Change what `changes` names; of two racing patches none undoes the other.

        Raises:
            NotFound: no such image, or it is deleted.
            Conflict: another version than `terms.if_match`, or the owner counts the versions.
            ValidationError: a change is out of bounds.
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """

        def successor(state: ImageState | None, version: int) -> ImageState:
            return changed(_present(image_id, state), changes, version=version, authority=OURS)

        return self._writes.write(image_id, successor, terms)

    def delete(self, image_id: str, *, terms: Terms = ANY_TERMS) -> Written:
        """Delete for good; deleting a deleted image changes nothing.

        With `terms.mend`, what cannot be read is deleted too, and so is what is not known at all.

        Raises:
            NotFound: no such image.
            Conflict: another version than `terms.if_match`, or the owner counts the versions.
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """

        def successor(state: ImageState | None, version: int) -> ImageState:
            if state is None and terms.mend:
                return ImageDeleted(image_id=image_id, version=version, authority=OURS)
            if state is None:
                raise NotFound(f"no image {image_id}")
            return deleted(state, version=version, authority=OURS)

        return self._writes.write(image_id, successor, terms)

    def follow_object(self, image_id: str, look: Look) -> Written | None:
        """Make an image what a watched bucket holds under its key, whatever was heard of it.

        Visibility and tags of a known image stay, as far as an operator or the bridge wrote them.
        A repeat changes nothing.

        Args:
            image_id: derived from bucket and key.
            look: looks at the object; called at the moment of the write.

        Returns:
            None: there is no such object, and never was an image of it.

        Raises:
            PartUnavailable: store or broker; a repeat is safe.
        """
        return self._writes.follow(image_id, look, partial(_following, image_id))

    def finish(self, image_id: str) -> Written | None:
        """See `CatalogueWrites.finish`."""
        return self._writes.finish(image_id)

    def _kept(
        self, image_id: str, data: bytes | Original, content_type: str = OCTETS
    ) -> ObjectReference:
        original = self._publisher.original(image_id, data, content_type)
        self._publisher.keep(original)
        return original.reference


def _hidden_as_before(state: ImageState, facts: ImageFacts) -> ImageFacts:
    """The facts, but an upload lifts no block that an earlier release kept in the image's state."""
    if state.moderation is Moderation.BLOCKED:
        return {**facts, "moderation": Moderation.BLOCKED}
    return facts


def _following(
    image_id: str, state: ImageState | None, item: BucketObject | None, version: int
) -> ImageState:
    """What an image becomes when its bucket holds `item` under its key; None: nothing any more."""
    if item is None:
        return deleted(_present(image_id, state), version=version, authority=OURS)
    if state is None or isinstance(state, ImageDeleted):
        fresh: ImageFacts = {"visibility": item.visibility}
        return uploaded(image_id, item.reference, fresh, version=version, authority=OURS)
    return with_bytes(state, item.reference, version=version, authority=OURS)


def _present(image_id: str, state: ImageState | None) -> ImageState:
    """A state that can be changed. Raises `NotFound` where there is none, or it is deleted."""
    if state is None or isinstance(state, ImageDeleted):
        raise NotFound(f"no image {image_id}")
    return state
