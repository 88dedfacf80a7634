"""One write to the catalogue: the next version by compare-and-set, then its event to the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sightline.engine.errors import Conflict, NotFound, SightlineError, Unreadable
from sightline.engine.object_store.catalogue import Catalogue, CatalogueEntry
from sightline.engine.object_store.entries import Origin, Place
from sightline.producers.images.bucket_object import GONE, BucketObject, stamp_of
from sightline.producers.images.ids import is_derived, new_id
from sightline.producers.images.published import Written, written_at
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.terms import Terms
from sightline.schemas.fields import MAX_VERSION
from sightline.schemas.images import Authority, ImageDeleted, ImageState
from sightline.schemas.indexed import Lane

Known = Callable[[str], ImageState | None]
"""The state of an image that the catalogue does not have, from the index: backfilled ones."""
Successor = Callable[[ImageState | None, int], ImageState]
"""From the present state and the next version to the next state."""
Look = Callable[[], BucketObject | None]
"""Looks at an object of a watched bucket; None: there is none."""
FollowingObject = Callable[[ImageState | None, BucketObject | None, int], ImageState]
"""From the present state, the object and the next version to the next state."""
Decide = Callable[[CatalogueEntry | None], CatalogueEntry | None]
"""From the entry that is there to the one that is to follow; None: leave it."""


def nothing_known(_image_id: str) -> ImageState | None:
    """For a deployment whose images are all in the catalogue."""
    return None


class CatalogueWrites:
    """Counts versions and publishes them; safe across threads and processes.

    Args:
        catalogue: counts the versions.
        publisher: publishes the events.
        known: what else is known of an image when the catalogue has nothing.
    """

    def __init__(self, catalogue: Catalogue, publisher: ImagePublisher, known: Known) -> None:
        self._catalogue = catalogue
        self._publisher = publisher
        self._known = known

    def write(
        self, image_id: str, successor: Successor, terms: Terms, *, lane: Lane = Lane.LIVE
    ) -> Written:
        """Write what `successor` makes and publish it; a write that says nothing new repeats.

        Args:
            image_id: new or known.
            successor: makes the next state; called again when somebody else was faster.
            terms: of the write.
            lane: of its event.

        Raises:
            NotFound: there is nothing to write on top of.
            Unreadable: what there is cannot be read; `terms.mend` writes all the same.
            Conflict: another version than `terms.if_match`, or the owner counts the versions.
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """
        decide = partial(self._following, image_id, successor, terms)
        entry = self._update(image_id, decide, mend=terms.mend)
        if entry is None:
            raise NotFound(f"no image {image_id}")
        return self.publish(entry, lane)

    def follow(self, image_id: str, look: Look, successor: FollowingObject) -> Written | None:
        """Make an image what a watched bucket holds now; None: there is nothing, and never was.

        `look` is called after the entry was read and before it is replaced by compare-and-set, so
        that what is written is never older than what another writer saw.

        Args:
            image_id: derived from bucket and key.
            look: looks at the object; called again when somebody else was faster.
            successor: makes the next state from the present one, the object and a version.

        What others than the operator wrote under the id is not built upon: they could have computed
        it (docs/images.md).

        Raises:
            PartUnavailable: store or broker; it may take effect, and a repeat is safe.
        """

        def decide(found: CatalogueEntry | None) -> CatalogueEntry | None:
            state = self._present(image_id, found)
            item = look()
            stamp = GONE if item is None else item.stamp
            if found is not None and found.seen == stamp and _operators(found, state):
                return None
            absent = state is None or isinstance(state, ImageDeleted)
            if absent and (item is None or not item.begins):
                return None
            kept = state if item is None or _operators(found, state) else None
            following = successor(kept, item, _next_version(state))
            event = self._publisher.event_of(following, event_id=new_id())
            origin = None if kept is None or found is None else found.origin
            return CatalogueEntry(event=event, seen=stamp, origin=origin or Origin.BRIDGE)

        entry = self._update(image_id, decide, mend=True)
        return None if entry is None else self.publish(entry)

    def _following(
        self, image_id: str, successor: Successor, terms: Terms, found: CatalogueEntry | None
    ) -> CatalogueEntry | None:
        """The entry that is to follow the one that was found; None: nothing is to be done."""
        state = self._present(image_id, found)
        terms.permit(state)
        _check(image_id, state, terms.if_match)
        following = successor(state, _next_version(state))
        if found is not None and not terms.again and _says_the_same(following, found.state):
            return None
        event = self._publisher.event_of(following, event_id=new_id())
        seen = None if found is None else found.seen
        if seen is None and state is not None and isinstance(following, ImageDeleted):
            seen = self._seen(state)
        return CatalogueEntry(event=event, seen=seen, origin=_origin(terms, found, state))

    def _seen(self, state: ImageState) -> str | None:
        """Stamps the object that a deleted image was made of by a backfill.

        So a hint about that very object does not bring the image back. None: another image, or the
        store does not say.
        """
        place = state.object
        if (
            place is None
            or place.bucket == self._publisher.bucket
            or not is_derived(state.image_id)
        ):
            return None
        try:
            return stamp_of(self._publisher.store.stat(place.bucket, place.key))
        except (SightlineError, ValueError):  # a key that no request can hold
            return None

    def _update(self, image_id: str, decide: Decide, *, mend: bool) -> CatalogueEntry | None:
        """Does `Catalogue.update`, but replaces an unreadable entry where more is known."""
        try:
            return self._catalogue.update(image_id, decide)
        except Unreadable:
            if not mend and self._known(image_id) is None:
                raise
            return self._catalogue.update(image_id, decide, mend=True)

    def _present(self, image_id: str, found: CatalogueEntry | None) -> ImageState | None:
        return self._known(image_id) if found is None else found.state

    def publish(self, entry: CatalogueEntry, lane: Lane = Lane.LIVE) -> Written:
        """Publish an entry and note where it lies; where that is noted already, tell it.

        Raises:
            PartUnavailable: store or broker; a repeat is safe.
        """
        place = entry.published
        if place is None:
            written = self._publisher.publish_event(entry.event, lane=lane).result()
            self._note(entry, written)
            return written
        return written_at(entry.event, place)

    def _note(self, entry: CatalogueEntry, written: Written) -> None:
        place = Place(
            topic=written.topic,
            partition=written.partition,
            offset=written.offset,
            appended=written.appended,
        )
        try:
            self._catalogue.write(replace(entry, published=place))
        except Conflict:
            return  # a newer version is there by now, which is published by its own writer

    def finish(self, image_id: str) -> Written | None:
        """Publish one image's entry if that was never noted; a repeat does nothing.

        The very event that was written is published, so one that did arrive is only repeated.

        Raises:
            PartUnavailable: store or broker; a repeat is safe.
        """
        entry = self._catalogue.read(image_id)
        if entry is None or entry.published is not None:
            return None
        return self.publish(entry)


def _next_version(state: ImageState | None) -> int:
    """At the highest there is, a delete still wins: among equal versions it hides more."""
    return 1 if state is None else min(state.version + 1, MAX_VERSION)


def _operators(found: CatalogueEntry | None, state: ImageState | None) -> bool:
    """Whether an image of a derived id is what the bridge, a backfill or an admin made it.

    Of entries that do not say who made them, those are that nobody owns: every write of a stranger
    has an owner.
    """
    if state is None or (found is not None and found.origin is not None):
        return True
    if state.authority is Authority.SIGHTLINE:
        return state.owner_id is None
    return state.authority is Authority.BACKFILL


def _origin(terms: Terms, found: CatalogueEntry | None, state: ImageState | None) -> Origin | None:
    """What is noted of a write: who made the image, also where that is seen only now."""
    if terms.origin is not None:
        return terms.origin
    if state is None or not _operators(found, state):
        return None
    return Origin.ADMIN if found is None or found.origin is None else found.origin


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
