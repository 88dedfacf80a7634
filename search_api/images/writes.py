"""Writes in, acknowledged image events out: who counts the versions, and what stands against it.

`owner`: the caller counts; each write says its version, and changes also what they build on.
`sightline`: the catalogue counts, by compare-and-set (docs/images.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar, cast

from sightline.engine.errors import NotFound, Part
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Origin
from sightline.engine.ports import Clock
from sightline.engine.serving.pairs import ServingPairs
from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import Caller
from sightline.producers.images.catalogue_writes import Permit, Terms
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.moderation import OperatorVerdict
from sightline.producers.images.originals import Original, original_of
from sightline.producers.images.published import Written
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.producers.images.states import ImageFacts, changed, deleted
from sightline.schemas.fields import MAX_OWNER_VERSION, Moderation
from sightline.schemas.images import Authority, ImageDeleted, ImageState
from sightline.schemas.moderation import ImageModerated
from sightline.search_api.http.bodies.form_reading import Uploaded
from sightline.search_api.http.hashing import hashed
from sightline.search_api.http.if_match import IfMatch
from sightline.search_api.http.limits.concurrency import Gate
from sightline.search_api.http.request_fields import ImageFields, ImagePatch
from sightline.search_api.images.known_image import KnownImage, may_change
from sightline.search_api.images.locks import ImageLocks
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.pending import Pending, PendingImages
from sightline.search_api.images.status import EVERYTHING, ImageStatus
from sightline.search_api.images.write_rules import (
    allowed,
    next_version,
    operators_version,
    owner_counts,
    refuse_admin_fields,
    refuse_derived_id,
    refuse_known,
    refuse_other_authority,
)
from sightline.search_api.search.query_vectors import QueryVectors
from sightline.search_api.threads.pools import MAX_WRITES

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Accepted:
    """One acknowledged write, as it is answered."""

    image_id: str
    version: int
    pending: Pending | None = None
    """What was published just now; None: nothing needed to be."""
    decision: ImageModerated | None = None
    """What was decided just now."""


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
        pairs: ServingPairs,
        bucket: str,
        clock: Clock,
        metrics: Metrics,
        threads: Executor,
        moderating: Moderating,
    ) -> None:
        self._moderating = moderating
        self._status = status
        self._pending = pending
        self._catalogued = catalogued
        self._new_images = new_images
        self._publisher = publisher
        self._pictures = pictures
        self._pairs = pairs
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
            await self._pictures.prepared(data, self._pairs.now().embedder.framing)
            original = await self._original(image_id, data, picture.content_type)
            decision = await self._decide(image_id, said, caller)
            terms = Terms(origin=_origin(caller))
            written = await self._upload(self._new_images, original, image_id, said, terms)
            return replace(written, decision=decision)

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
        refuse_derived_id(image_id)
        said = allowed(fields, caller)
        async with self._gate.enter(Part.BROKER), self._locks.of(image_id):
            data = await picture.read()
            await self._pictures.prepared(data, self._pairs.now().embedder.framing)
            # Whoever names a version speaks of an image of their own: another's is none, whoever
            # names none learns that an id is taken.
            asking = EVERYTHING if wanted.wanted is None else caller
            standing = await self._finished(image_id, asking)
            permit = partial(_permit, image_id, caller, wanted)
            permit(None if standing is None else standing.state)
            original = await self._original(image_id, data, picture.content_type)
            if standing is not None:
                refuse_other_authority(standing, said.version)
                refuse_known(standing, said, original.reference)
            terms = Terms(
                permit=permit,
                # The same bytes again after a rejection: the object may be whole this time.
                again=standing is not None and standing.rejected,
                origin=_origin(caller),
                mend=Scope.ADMIN in caller.scopes,
            )
            decision = await self._decide(image_id, said, caller)
            hides = standing is not None and standing.state.moderation is Moderation.BLOCKED
            written = await self._upload(
                self._catalogued, original, image_id, said, terms, hides=hides
            )
            return replace(written, decision=decision)

    async def change(
        self, image_id: str, patch: ImagePatch, caller: Caller, wanted: IfMatch
    ) -> Accepted:
        """Change what the patch names and keep the rest.

        Moderation is the operator's decision, with a version of its own: by itself it needs none of
        the image's, whoever counts that.

        Raises:
            NotFound: no such image that the caller may change, or it is deleted.
            Problem: 403, 409, 412 or 428, as `docs/api.md` says.
            PartUnavailable: a repeat is safe.
        """
        changes = cast("ImageFacts", patch.changes())
        refuse_admin_fields(changes, caller)
        async with self._gate.enter(Part.BROKER), self._locks.of(image_id):
            standing = _changeable(image_id, await self._finished(image_id, caller), caller)
            if isinstance(standing.state, ImageDeleted):
                raise NotFound(f"image {image_id} is deleted; upload it again")
            wanted.check(standing.version)
            verdict = changes.get("moderation")
            of_state = _of_state(changes, standing.state)
            if not of_state and verdict is not None:
                decision = await self._decided(image_id, verdict)
                return Accepted(image_id, standing.version, decision=decision)
            change = self._changing(standing, of_state, patch.version, caller, wanted)
            if verdict is None:
                return await change()
            decision = await self._decided(image_id, verdict)
            return replace(await change(), decision=decision)

    def _changing(
        self,
        standing: KnownImage,
        changes: ImageFacts,
        version: int | None,
        caller: Caller,
        wanted: IfMatch,
    ) -> Callable[[], Awaitable[Accepted]]:
        """The change, ready to be made, once nothing stands against it."""
        refuse_other_authority(standing, version)
        image_id = standing.state.image_id
        if owner_counts(standing, version):
            number = next_version(standing, version, wanted, caller, MAX_OWNER_VERSION)
            owned = Authority.OWNER
            state = changed(standing.state, changes, version=number, authority=owned)
            return partial(self._publish, state)
        terms = Terms(permit=partial(_permit, image_id, caller, wanted))
        return partial(
            self._counted, partial(self._catalogued.patch, image_id, changes, terms=terms)
        )

    async def delete(
        self, image_id: str, version: int | None, caller: Caller, wanted: IfMatch
    ) -> Accepted:
        """Delete for good; deleting again changes nothing. An admin's needs no version.

        Raises:
            As `change`.
        """
        operator = Scope.ADMIN in caller.scopes
        async with self._gate.enter(Part.BROKER), self._locks.of(image_id):
            standing = await self._finished(image_id, caller)
            if standing is None and operator and await self._status.is_damaged(image_id):
                return await self._delete_counted(image_id, Terms(mend=True))
            standing = _changeable(image_id, standing, caller)
            wanted.check(standing.version)
            if isinstance(standing.state, ImageDeleted) and not standing.unreadable:
                return Accepted(image_id, standing.version)
            permit = partial(_permit, image_id, caller, wanted)
            if operator:
                return await self._operators_delete(standing, version, permit)
            refuse_other_authority(standing, version, send="send `?version=N` with N")
            if owner_counts(standing, version):
                most = MAX_OWNER_VERSION + 1  # who has counted to the end may still delete
                number = next_version(standing, version, wanted, caller, most)
                return await self._publish(deleted(standing.state, version=number))
            return await self._delete_counted(image_id, Terms(permit=permit))

    async def _operators_delete(
        self, standing: KnownImage, version: int | None, permit: Permit
    ) -> Accepted:
        """Whoever counts the versions, and wherever they are."""
        if standing.state.authority is Authority.OWNER:
            number = operators_version(standing, version)
            return await self._publish(deleted(standing.state, version=number))
        terms = Terms(permit=permit, mend=True)
        return await self._delete_counted(standing.state.image_id, terms)

    async def _delete_counted(self, image_id: str, terms: Terms) -> Accepted:
        return await self._counted(partial(self._catalogued.delete, image_id, terms=terms))

    async def _decide(
        self, image_id: str, said: ImageFields, caller: Caller
    ) -> ImageModerated | None:
        """What an admin says of moderation with an upload; before it, as hiding comes first.

        An owner's `allowed` says nothing, as in an owner's event.
        """
        if Scope.ADMIN not in caller.scopes or "moderation" not in said.model_fields_set:
            return None
        return await self._decided(image_id, said.moderation)

    async def _decided(self, image_id: str, moderation: str) -> ImageModerated:
        return await self._moderating.decide(
            image_id, OperatorVerdict(moderation=Moderation(moderation))
        )

    async def _finished(self, image_id: str, caller: Caller) -> KnownImage | None:
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
        *,
        hides: bool = False,
    ) -> Accepted:
        """Through the catalogue on these terms, or at the owner's version straight to the log.

        With `hides` the state says blocked, as the present one does: no upload lifts that.
        """
        facts = _facts(said)
        if hides:
            facts["moderation"] = Moderation.BLOCKED
        if said.version is None:
            put = partial(catalogued.put, image_id, original, terms=terms, **facts)
            return await self._counted(put)
        state = await self._run(
            partial(self._publisher.stored, image_id, original, facts, version=said.version)
        )
        return self._remember(await self._publisher.publish(state))

    async def _counted(self, write: Callable[[], Written]) -> Accepted:
        """A write through the catalogue. Raises as `ImageWrites.put`."""
        return self._remember(await self._run(write))

    async def _publish(self, state: ImageState) -> Accepted:
        return self._remember(await self._publisher.publish(state, known=True))

    def _remember(self, written: Written) -> Accepted:
        pending = Pending(
            state=written.state, event_id=written.event_id, published=self._clock.now()
        )
        self._pending.add(pending)
        return Accepted(written.image_id, written.version, pending)


def _facts(said: ImageFields) -> ImageFacts:
    """What a caller said of an image; that its names are facts of images, a test holds."""
    return cast("ImageFacts", said.model_dump(exclude={"version", "moderation"}))


def _of_state(changes: ImageFacts, state: ImageState) -> ImageFacts:
    """What of a patch changes the image's own state.

    Moderation does not, but for lifting a block that an earlier release kept in the state.
    """
    lifts = changes.get("moderation") is Moderation.ALLOWED
    kept_there = state.moderation is Moderation.BLOCKED and state.authority is not Authority.OWNER
    if lifts and kept_there:
        return changes
    return cast("ImageFacts", {n: v for n, v in changes.items() if n != "moderation"})


def _origin(caller: Caller) -> Origin | None:
    return Origin.ADMIN if Scope.ADMIN in caller.scopes else None


def _changeable(image_id: str, standing: KnownImage | None, caller: Caller) -> KnownImage:
    if standing is None or not may_change(caller, standing.state):
        raise NotFound(f"no image {image_id} that you may change")
    return standing


def _permit(image_id: str, caller: Caller, wanted: IfMatch, state: ImageState | None) -> None:
    """Refuse what the caller may not write, or does not want to write, on top of the state.

    Looked at again at the moment of the write: another process may have been faster.
    """
    if state is not None and not may_change(caller, state):
        wanted.check(None)
        raise NotFound(f"no image {image_id} that you may see")
    wanted.check(None if state is None else state.version)
