"""Writes in, acknowledged image events out: who counts the versions, and what stands against it.

`owner`: the caller counts; each write says its version, and changes also what they build on.
`sightline`: the catalogue counts, by compare-and-set (docs/images.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

from sightline.engine.errors import Conflict, NotFound, Part
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.vector_index.visible import Caller
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.publisher import Published, changed, deleted, reference_to
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.schemas.images import (
    Authority,
    ImageDeleted,
    ImageState,
    ImageUploaded,
)
from sightline.search_api.http.bodies import Uploaded
from sightline.search_api.http.concurrency import Gate
from sightline.search_api.http.hashing import hashed
from sightline.search_api.http.if_match import IfMatch, check, stale
from sightline.search_api.http.request_fields import ImageFields, ImagePatch
from sightline.search_api.images.known_image import Standing, may_change
from sightline.search_api.images.locks import ImageLocks
from sightline.search_api.images.pending import Pending, PendingImages
from sightline.search_api.images.status import ImageStatus
from sightline.search_api.images.write_rules import (
    allowed,
    next_version,
    owner_counts,
    refuse_admin_fields,
    refuse_known,
    refuse_other_authority,
)
from sightline.search_api.search.query_vectors import QueryVectors

T = TypeVar("T")
Put = Callable[..., Published]
"""Of `CataloguedImages`."""
MAX_WRITES = 16
"""At once, each with its thread and perhaps a picture in memory; as many again wait. Threads of
their own, since a write waits for the broker as long as it must, and nothing else may wait with it.
"""


@dataclass(frozen=True, slots=True)
class Written:
    """One acknowledged write."""

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
        self._threads = ThreadPoolExecutor(MAX_WRITES, "image-write")

    def close(self) -> None:
        """End the threads; repeated calls do nothing."""
        self._threads.shutdown()

    async def create(
        self, image_id: str, fields: ImageFields, picture: Uploaded, caller: Caller
    ) -> Written:
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
            put = self._new_images.put
            return await self._upload(image_id, said, data, picture.content_type, put=put)

    async def put(
        self,
        image_id: str,
        fields: ImageFields,
        picture: Uploaded,
        caller: Caller,
        wanted: IfMatch,
    ) -> Written:
        """Upload under the caller's id, new or not; a repeat changes nothing.

        Raises:
            As `create`; NotFound for another owner's image; Problem: 409 where the version stands
            against it, 412 where `wanted` does.
        """
        said = allowed(fields, caller)
        async with self._gate.enter(Part.BROKER), self._locks.of(image_id):
            data = await picture.read()
            await self._pictures.prepared(data)
            standing = await self._finished(image_id)
            if standing is not None and not may_change(caller, standing.state):
                raise NotFound(f"no image {image_id} that you may see")
            check(wanted, None if standing is None else standing.version)
            if standing is not None:
                refuse_other_authority(standing, said.version)
                refuse_known(standing, said, await hashed(_digest, data))
            # The same bytes again after a rejection: the object may be whole this time.
            again = standing is not None and standing.rejected
            put: Put = partial(
                _counted,
                standing,
                wanted,
                self._catalogued.put,
                again=again,
                permit=partial(_refuse_stranger, image_id, caller),
            )
            return await self._upload(image_id, said, data, picture.content_type, put=put)

    async def change(
        self, image_id: str, patch: ImagePatch, caller: Caller, wanted: IfMatch
    ) -> Written:
        """Change what the patch names and keep the rest.

        Raises:
            NotFound: no such image that the caller may change, or it is deleted.
            Problem: 403, 409, 412 or 428, as `docs/api.md` says.
            PartUnavailable: a repeat is safe.
        """
        changes = patch.changes()
        refuse_admin_fields(changes, caller)
        async with self._gate.enter(Part.BROKER), self._locks.of(image_id):
            standing = await self._known(image_id, caller)
            if isinstance(standing.state, ImageDeleted):
                raise NotFound(f"image {image_id} is deleted; upload it again")
            check(wanted, standing.version)
            refuse_other_authority(standing, patch.version)
            if owner_counts(standing, patch.version):
                number = next_version(standing, patch.version, wanted)
                facts = {**changes, "authority": Authority.OWNER}
                return await self._publish(changed(standing.state, version=number, **facts))
            published = await self._run(
                partial(_counted, standing, wanted, self._catalogued.patch, image_id, changes)
            )
            state = changed(
                standing.state,
                version=published.version,
                **changes,
                authority=Authority.SIGHTLINE,
            )
            return self._remember(state, published)

    async def delete(
        self, image_id: str, version: int | None, caller: Caller, wanted: IfMatch
    ) -> Written:
        """Delete for good; deleting again changes nothing.

        Raises:
            As `change`.
        """
        async with self._gate.enter(Part.BROKER), self._locks.of(image_id):
            standing = await self._known(image_id, caller)
            check(wanted, standing.version)
            if isinstance(standing.state, ImageDeleted):
                return Written(image_id, standing.version)
            refuse_other_authority(standing, version, send="send `?version=N` with N")
            if owner_counts(standing, version):
                number = next_version(standing, version, wanted)
                return await self._publish(deleted(standing.state, version=number))
            published = await self._run(
                partial(_counted, standing, wanted, self._catalogued.delete, image_id)
            )
            return self._remember(deleted(standing.state, version=published.version), published)

    async def _known(self, image_id: str, caller: Caller) -> Standing:
        standing = await self._finished(image_id)
        if standing is None or not may_change(caller, standing.state):
            raise NotFound(f"no image {image_id} that you may change")
        return standing

    async def _finished(self, image_id: str) -> Standing | None:
        """The standing whoever asks, once what a failed write left in the catalogue is published.

        Else a repeated delete would find nothing to do, and a caller with the ETag that it read
        would be told to read again for ever.
        """
        standing = await self._status.known(image_id)
        if standing is None or standing.pending is None:
            return standing
        if standing.pending != self._pending.newer_than(image_id, None):  # the catalogue's
            published = await self._run(partial(self._catalogued.finish, image_id))
            if published is not None and published.version == standing.version:
                self._remember(standing.state, published)
        return standing

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _upload(
        self, image_id: str, said: ImageFields, data: bytes, content_type: str, *, put: Put
    ) -> Written:
        facts: dict[str, Any] = {
            name: getattr(said, name) for name in ImageFields.model_fields if name != "version"
        }
        if said.version is None:
            authority = Authority.SIGHTLINE
            published = await self._run(
                partial(put, image_id, data, content_type=content_type, **facts)
            )
        else:
            authority = Authority.OWNER
            published = await self._publisher.upload(
                data, image_id=image_id, version=said.version, content_type=content_type, **facts
            )
        refer = partial(
            reference_to, bucket=self._bucket, image_id=image_id, content_type=content_type
        )
        state = ImageUploaded(
            image_id=image_id,
            version=published.version,
            authority=authority,
            object=await hashed(refer, data),
            **facts,
        )
        return self._remember(state, published)

    async def _publish(self, state: ImageState) -> Written:
        return self._remember(state, await self._publisher.publish(state))

    def _remember(self, state: ImageState, published: Published) -> Written:
        now = self._clock.now()
        pending = Pending(state=state, event_id=published.event_id, published=now)
        self._pending.add(pending)
        return Written(published.image_id, published.version, pending)


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _counted(
    standing: Standing | None,
    wanted: IfMatch,
    write: Callable[..., Published],
    *args: object,
    **fields: object,
) -> Published:
    """A write through the catalogue, only on top of what the caller read, if it says so."""
    expected = standing.version if standing is not None and isinstance(wanted, frozenset) else None
    try:
        return write(*args, if_match=expected, **fields)
    except Conflict:
        if expected is None:
            raise
        # Another process wrote between our look and the compare-and-set.
        raise stale(None) from None


def _refuse_stranger(image_id: str, caller: Caller, state: ImageState | None) -> None:
    """At the moment of the write: another process may have made the image another owner's."""
    if state is not None and not may_change(caller, state):
        raise NotFound(f"no image {image_id} that you may see")
