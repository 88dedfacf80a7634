"""Index, pending publications and catalogue in, what became of an image out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from sightline.engine.errors import NotFound, SightlineError, Unreadable
from sightline.engine.object_store.catalogue import Catalogue, CatalogueEntry
from sightline.engine.ports import Clock
from sightline.engine.records import ImageStage, IndexedImage
from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import EVERYTHING, Caller, VisibleIndex
from sightline.schemas.images import Authority, ImageDeleted
from sightline.schemas.topics import DELETE_RETENTION_MS
from sightline.search_api.images.known_image import KnownImage
from sightline.search_api.images.looking import holds_within
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.pending import Pending, PendingImages
from sightline.search_api.threads.pools import ApiThreads

_LOG = logging.getLogger(__name__)
FORGET_EVERY_S = 30.0
"""Between two rounds that ask the index what has arrived of all that is on its way."""
CHUNK = 500
"""Images asked for at once in such a round."""


class ImageStatus:
    """Looks images up for callers, and waits for them."""

    def __init__(
        self,
        visible: VisibleIndex,
        pending: PendingImages,
        catalogue: Catalogue,
        clock: Clock,
        *,
        threads: ApiThreads,
        moderating: Moderating,
    ) -> None:
        self._visible = visible
        self._moderating = moderating
        self._pending = pending
        self._catalogue = catalogue
        self._clock = clock
        self._readers = threads.image_reads
        # Others than the index's: a store that hangs must not hold up what needs none.
        self._catalogue_readers = threads.catalogue_reads

    async def of(self, image_id: str, caller: Caller) -> KnownImage:
        """What is known of the image, as far as the caller may know.

        What is on its way is told only to who may change the image; others see what is applied.

        Raises:
            NotFound: no such image, or none that the caller may see.
            PartUnavailable: the index is down.
        """
        applied = await self._applied(image_id, caller)
        known = self._known_here(image_id, applied, caller)
        if known is None and caller.scopes & {Scope.WRITE, Scope.ADMIN}:
            known = await self._published_elsewhere(image_id, None, caller)
        if known is None:
            raise _unseen(image_id)
        return known

    async def visible(self, image_id: str, caller: Caller) -> IndexedImage:
        """The applied image, if the caller may see the picture itself.

        Raises:
            NotFound: no such image, or none that the caller may see.
            PartUnavailable: the index is down.
        """
        applied = await self._applied(image_id, caller)
        if applied is None or not caller.may_see_bytes(applied):
            raise _unseen(image_id)
        return applied

    async def known(self, image_id: str, caller: Caller) -> KnownImage | None:
        """What is known of an image that the caller may change; None: there is none such.

        The catalogue is asked too, as another process may have written there; but not for an
        image whose owner counts its versions, so that it can be hidden while the store is down.

        Raises:
            PartUnavailable: the index or the store is down.
        """
        applied = await self._applied(image_id, caller)
        here = self._known_here(image_id, applied, caller)
        if here is not None and here.state.authority is Authority.OWNER:
            return here
        elsewhere = await self._published_elsewhere(image_id, applied, caller)
        if here is None or (elsewhere is not None and _is_newer(elsewhere, here)):
            return elsewhere
        return here

    async def applied_within(
        self, image_id: str, version: int, timeout_s: float, pending: Pending | None = None
    ) -> bool:
        """Whether the index has the version, or a higher one, before the time is over.

        It has, too, where it has had the delete and forgotten it. With `pending`, another event of
        the same version does not count unless it has won.

        Raises:
            PartUnavailable: the index is down.
        """
        # The store is asked once at most, and only where this process has published nothing.
        ask_catalogue = not self._pending.holds(image_id)

        async def has() -> bool:
            nonlocal ask_catalogue
            applied = await self._applied(image_id, EVERYTHING)
            if applied is None and ask_catalogue:
                ask_catalogue = False
                return await self._is_purged(image_id)
            return _has(applied, version, pending)

        return await holds_within(has, timeout_s, self._clock)

    async def forget_arrived(self) -> None:
        """Forget what is on its way no longer, though nobody has asked for it; until cancelled."""
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            try:
                for image_ids in self._pending.chunks(CHUNK):
                    await self._readers.run(self._forget, image_ids)
            except SightlineError as error:
                _LOG.warning("what has been indexed could not be looked up: %s", error)

    def _forget(self, image_ids: Sequence[str]) -> None:
        for image_id, image in self._visible.get_many(image_ids, EVERYTHING).items():
            if image.stage is ImageStage.FINAL:
                self._pending.newer_than(image_id, image)

    async def _applied(self, image_id: str, caller: Caller) -> IndexedImage | None:
        try:
            return await self._readers.run(self._visible.get, image_id, caller)
        except NotFound:
            return None

    def _known_here(
        self, image_id: str, applied: IndexedImage | None, caller: Caller
    ) -> KnownImage | None:
        final = applied is not None and applied.stage is ImageStage.FINAL
        pending = self._pending.newer_than(image_id, applied if final else None, caller)
        if applied is None and pending is None:
            return None
        return self._told(image_id, applied, pending, caller)

    def _told(
        self,
        image_id: str,
        applied: IndexedImage | None,
        pending: Pending | None,
        caller: Caller,
        *,
        purged: bool = False,
    ) -> KnownImage:
        decision = (
            None if applied is None or applied.decision is None else applied.decision.decision
        )
        told = KnownImage(applied=applied, pending=pending, decision=decision, purged=purged)
        if not caller.may_change(told.state.owner_id):
            return told  # a decision that is on its way is not told to everybody either
        return replace(told, decision=self._moderating.newer_than(image_id, decision))

    async def is_damaged(self, image_id: str) -> bool:
        """Whether the catalogue holds something of the image that cannot be read."""
        looked = await self._catalogue_readers.run(self._catalogue.look, image_id)
        return looked.unreadable

    async def _published_elsewhere(
        self, image_id: str, applied: IndexedImage | None, caller: Caller
    ) -> KnownImage | None:
        sight = caller.sight  # "": of a key that writes for nobody, as no owner is called
        owner_id = None if sight is None else sight.owner_id or ""
        try:
            entry = await self._catalogue_readers.run(
                self._catalogue.peek, image_id, owner_id=owner_id
            )
        except Unreadable:
            return None  # an admin's delete asks for it by `is_damaged`
        if entry is None or not caller.may_change(entry.state.owner_id):
            return None
        pending = Pending(state=entry.state, event_id=entry.event.id, published=entry.event.time)
        purged = applied is None and self._is_past_retention(entry)
        return self._told(image_id, applied, pending, caller, purged=purged)

    async def _is_purged(self, image_id: str) -> bool:
        """Whether the index, which does not have the image, has forgotten its delete."""
        known = await self._published_elsewhere(image_id, None, EVERYTHING)
        return known is not None and known.purged

    def _is_past_retention(self, entry: CatalogueEntry) -> bool:
        """A delete as old as those that the reconciler purges from the index."""
        if not isinstance(entry.state, ImageDeleted) or entry.published is None:
            return False
        kept = timedelta(milliseconds=DELETE_RETENTION_MS)
        return entry.published.appended < self._clock.now() - kept


def _unseen(image_id: str) -> NotFound:
    return NotFound(f"no image {image_id} that you may see")


def _is_newer(elsewhere: KnownImage, here: KnownImage) -> bool:
    """Whether it has a higher version, or the same one that cannot be read here."""
    return elsewhere.version > here.version or (
        here.unreadable and elsewhere.version == here.version
    )


def _has(image: IndexedImage | None, version: int, pending: Pending | None) -> bool:
    if image is None or image.version < version:
        return False
    if image.version > version:
        return True
    return image.stage is ImageStage.FINAL and (pending is None or pending.has_arrived(image))
