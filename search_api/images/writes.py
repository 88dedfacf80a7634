"""Writes in, acknowledged image events out: who counts the versions, and what stands against it.

`owner`: the caller counts; each write says its version, and changes also what they build on.
`sightline`: the catalogue counts, by compare-and-set (docs/images.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

from sightline.engine.errors import Conflict, NotFound, Part
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.vector_index.visible import Caller
from sightline.producers.images.catalogue_writes import Terms
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.originals import Original, original_of
from sightline.producers.images.published import Written
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.producers.images.states import ImageFacts, changed, deleted
from sightline.schemas.images import Authority, ImageDeleted, ImageState
from sightline.search_api.http.concurrency import Gate
from sightline.search_api.http.form_reading import Uploaded
from sightline.search_api.http.hashing import hashed
from sightline.search_api.http.if_match import IfMatch, check, expected, stale
from sightline.search_api.http.request_fields import ImageFields, ImagePatch
from sightline.search_api.images.known_image import Standing, may_change
from sightline.search_api.images.locks import ImageLocks
from sightline.search_api.images.pending import Pending, PendingImages
from sightline.search_api.images.status import EVERYTHING, ImageStatus
from sightline.search_api.images.write_rules import (
    allowed,
    next_version,
    owner_counts,
    refuse_admin_fields,
    refuse_known,
    refuse_other_authority,
)
from sightline.search_api.search.query_vectors import QueryVectors
from sightline.search_api.threads.pools import MAX_WRITES

T = TypeVar("T")
Put = Callable[[Original, ImageFacts], Written]
"""Writes an upload whose version Sightline counts."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One acknowledged write, as it is answered."""

    image_id: str
    version: int
    pending: Pending | None = None
    """What was published just now; None: nothing needed to be."""


class ImageWrites:
    """Uploads, changes and deletes images for callers who may."""

    def __init__(
        self,
        *,
        status: ImageStatus,
        pending: PendingImages,
        catalogued: CataloguedImages,
        new_images: CataloguedImages,
        publisher: AsyncImagePublisher,
        pictures: QueryVectors,
        bucket: str,
        clock: Clock,
        metrics: Metrics,
        threads: Executor,
    ) -> None:
        self._status = status
        self._pending = pending
        self._catalogued = catalogued
        self._new_images = new_images
        self._publisher = publisher
        self._pictures = pictures
        self._bucket = bucket
        self._clock = clock
        self._locks = ImageLocks()
        self._gate = Gate(MAX_WRITES, metrics.writes_in_flight)
        self._threads = threads

    async def create(
        self, image_id: str, fields: ImageFields, picture: Uploaded, caller: Caller
    ) -> Accepted:
        """Upload under an id that is new: nothing needs to be asked of the index.

        Raises:
            BadImage: it is not a picture that we accept.
            Problem: 403, the caller may not say that.
            PartUnavailable: store or broker; a repeat with the same id is safe.
            Overloaded: too many writes wait.
        """
        said = allowed(fields, caller)
        async with self._gate.enter(Part.BROKER):
            data = await picture.read()
            await self._pictures.prepared(data)
            original = await self._original(image_id, data, picture.content_type)
            return await self._upload(self._new_images, original, image_id, said, Terms())

    async def put(
        self,
        image_id: str,
        fields: ImageFields,
        picture: Uploaded,
        caller: Caller,
        wanted: IfMatch,
    ) -> Accepted:
        """Upload under the caller's id, new or not; a repeat changes nothing.

        Raises:
            As `create`; NotFound for another owner's image; Problem: 409 where the version stands
            against it, 412 where `wanted` does.
        """
        said = allowed(fields, caller)
        async with self._gate.enter(Part.BROKER), self._locks.of(image_id):
            data = await picture.read()
            await self._pictures.prepared(data)
            # Whoever names a version speaks of an image of their own: another's is none, whoever
            # names none learns that an id is taken.
            asking = EVERYTHING if expected(wanted) is None else caller
            standing = await self._finished(image_id, asking)
            if standing is not None and not may_change(caller, standing.state):
                check(wanted, None)
                raise NotFound(f"no image {image_id} that you may see")
            check(wanted, None if standing is None else standing.version)
            original = await self._original(image_id, data, picture.content_type)
            if standing is not None:
                refuse_other_authority(standing, said.version)
                refuse_known(standing, said, original.reference)
            terms = Terms(
                if_match=_expected(standing, wanted),
                permit=partial(_refuse_stranger, image_id, caller),
                # The same bytes again after a rejection: the object may be whole this time.
                again=standing is not None and standing.rejected,
            )
            return await self._upload(self._catalogued, original, image_id, said, terms)

    async def change(
        self, image_id: str, patch: ImagePatch, caller: Caller, wanted: IfMatch
    ) -> Accepted:
        """Change what the patch names and keep the rest.

        Raises:
            NotFound: no such image that the caller may change, or it is deleted.
            Problem: 403, 409, 412 or 428, as `docs/api.md` says.
            PartUnavailable: a repeat is safe.
        """
        changes = cast("ImageFacts", patch.changes())
        refuse_admin_fields(changes, caller)
        async with self._gate.enter(Part.BROKER), self._locks.of(image_id):
            standing = await self._known(image_id, caller)
            if isinstance(standing.state, ImageDeleted):
                raise NotFound(f"image {image_id} is deleted; upload it again")
            check(wanted, standing.version)
            refuse_other_authority(standing, patch.version)
            if owner_counts(standing, patch.version):
                number = next_version(standing, patch.version, wanted)
                owned = Authority.OWNER
                state = changed(standing.state, changes, version=number, authority=owned)
                return await self._publish(state)
            terms = Terms(if_match=_expected(standing, wanted))
            patch_it = partial(self._catalogued.patch, image_id, changes, terms=terms)
            return await self._counted(terms, patch_it)

    async def delete(
        self, image_id: str, version: int | None, caller: Caller, wanted: IfMatch
    ) -> Accepted:
        """Delete for good; deleting again changes nothing.

        Raises:
            As `change`.
        """
        async with self._gate.enter(Part.BROKER), self._locks.of(image_id):
            standing = await self._known(image_id, caller)
            check(wanted, standing.version)
            if isinstance(standing.state, ImageDeleted):
                return Accepted(image_id, standing.version)
            refuse_other_authority(standing, version, send="send `?version=N` with N")
            if owner_counts(standing, version):
                number = next_version(standing, version, wanted)
                return await self._publish(deleted(standing.state, version=number))
            terms = Terms(if_match=_expected(standing, wanted))
            delete_it = partial(self._catalogued.delete, image_id, terms=terms)
            return await self._counted(terms, delete_it)

    async def _known(self, image_id: str, caller: Caller) -> Standing:
        standing = await self._finished(image_id, caller)
        if standing is None or not may_change(caller, standing.state):
            raise NotFound(f"no image {image_id} that you may change")
        return standing

    async def _finished(self, image_id: str, caller: Caller) -> Standing | None:
        """Asks `ImageStatus.known`, once what a failed write left in the catalogue is published.

        Else a repeated delete would find nothing to do, and a caller with the ETag that it read
        would be told to read again for ever.
        """
        standing = await self._status.known(image_id, caller)
        if standing is None or standing.pending is None:
            return standing
        if standing.pending != self._pending.newer_than(image_id, None):  # the catalogue's
            written = await self._run(partial(self._catalogued.finish, image_id))
            if written is not None:
                self._remember(written)
        return standing

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _original(self, image_id: str, data: bytes, content_type: str) -> Original:
        return await hashed(
            partial(original_of, bucket=self._bucket, image_id=image_id, content_type=content_type),
            data,
        )

    async def _upload(
        self,
        catalogued: CataloguedImages,
        original: Original,
        image_id: str,
        said: ImageFields,
        terms: Terms,
    ) -> Accepted:
        """Through the catalogue on these terms, or at the owner's version straight to the log."""
        facts = _facts(said)
        if said.version is None:
            put = partial(catalogued.put, image_id, original, terms=terms, **facts)
            return await self._counted(terms, put)
        upload = self._publisher.upload(original, image_id=image_id, version=said.version, **facts)
        return self._remember(await upload)

    async def _counted(self, terms: Terms, write: Callable[[], Written]) -> Accepted:
        """A write through the catalogue. Raises as `ImageWrites.put`."""
        try:
            return self._remember(await self._run(write))
        except Conflict:
            if terms.if_match is None:
                raise
            # Another process wrote between our look and the compare-and-set.
            raise stale(None) from None

    async def _publish(self, state: ImageState) -> Accepted:
        return self._remember(await self._publisher.publish(state))

    def _remember(self, written: Written) -> Accepted:
        pending = Pending(
            state=written.state, event_id=written.event_id, published=self._clock.now()
        )
        self._pending.add(pending)
        return Accepted(written.image_id, written.version, pending)


def _facts(said: ImageFields) -> ImageFacts:
    """What a caller said of an image; that its names are facts of images, a test holds."""
    return cast("ImageFacts", said.model_dump(exclude={"version"}))


def _expected(standing: Standing | None, wanted: IfMatch) -> int | None:
    """The version that a write must find, where the caller says which one it read."""
    named = isinstance(expected(wanted), frozenset)
    return standing.version if standing is not None and named else None


def _refuse_stranger(image_id: str, caller: Caller, state: ImageState | None) -> None:
    """At the moment of the write: another process may have made the image another owner's."""
    if state is not None and not may_change(caller, state):
        raise NotFound(f"no image {image_id} that you may see")
