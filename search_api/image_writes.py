"""Writes in, acknowledged image events out: who counts the versions, and what stands against it.

`owner`: the caller counts; each write says its version, and changes also what they build on.
`sightline`: the catalogue counts, by compare-and-set (RULES R1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sightline.engine.errors import Conflict, NotFound
from sightline.engine.ports import Clock
from sightline.engine.settings import Scope
from sightline.engine.visible import Caller
from sightline.producers.catalogued import CataloguedImages
from sightline.producers.images import Published, changed, deleted, reference_to
from sightline.producers.images_async import AsyncImagePublisher
from sightline.schemas.fields import Moderation
from sightline.schemas.images import (
    Authority,
    ImageDeleted,
    ImageState,
    ImageUploaded,
)
from sightline.search_api.bodies import Uploaded
from sightline.search_api.image_locks import ImageLocks
from sightline.search_api.image_status import ImageStatus, Standing, may_change
from sightline.search_api.pending import Pending, PendingImages
from sightline.search_api.preconditions import IfMatch, check, stale
from sightline.search_api.problems import Problem
from sightline.search_api.query_vectors import QueryVectors
from sightline.search_api.request_fields import ImageFields, ImagePatch


@dataclass(frozen=True, slots=True)
class Written:
    """One acknowledged write."""

    image_id: str
    version: int


class ImageWrites:
    """Uploads, changes and deletes images for callers who may."""

    def __init__(
        self,
        *,
        status: ImageStatus,
        pending: PendingImages,
        catalogued: CataloguedImages,
        publisher: AsyncImagePublisher,
        pictures: QueryVectors,
        bucket: str,
        clock: Clock,
    ) -> None:
        self._status = status
        self._pending = pending
        self._catalogued = catalogued
        self._publisher = publisher
        self._pictures = pictures
        self._bucket = bucket
        self._clock = clock
        self._locks = ImageLocks()

    async def create(
        self, image_id: str, fields: ImageFields, picture: Uploaded, caller: Caller
    ) -> Written:
        """Upload under an id that is new: nothing needs to be asked of the index.

        Raises:
            BadImage: it is not a picture that we accept.
            Problem: 403, the caller may not say that.
            PartUnavailable: store or broker; a repeat with the same id is safe.
        """
        said = _allowed(fields, caller)
        data = await picture.read()
        await self._pictures.prepared(data)
        return await self._upload(image_id, said, data, picture.content_type, wanted=None)

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
        said = _allowed(fields, caller)
        data = await picture.read()
        await self._pictures.prepared(data)
        async with self._locks.of(image_id):
            standing = await self._status.known(image_id)
            if standing is not None and not may_change(caller, standing.state):
                raise NotFound(f"no image {image_id} that you may see")
            check(wanted, None if standing is None else standing.version)
            if standing is not None:
                _refuse_other_authority(standing, said.version)
                _refuse_lower(standing, said.version)
            return await self._upload(image_id, said, data, picture.content_type, wanted=wanted)

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
        _refuse_admin_fields(changes, caller)
        async with self._locks.of(image_id):
            standing = await self._known(image_id, caller)
            if isinstance(standing.state, ImageDeleted):
                raise NotFound(f"image {image_id} is deleted; upload it again")
            check(wanted, standing.version)
            _refuse_other_authority(standing, patch.version)
            if _owner_counts(standing, patch.version):
                number = _next(standing, patch.version, wanted)
                facts = {**changes, "authority": Authority.OWNER}
                return await self._publish(changed(standing.state, version=number, **facts))
            published = await self._counted(
                standing, wanted, self._catalogued.patch, image_id, changes
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
        async with self._locks.of(image_id):
            standing = await self._known(image_id, caller)
            check(wanted, standing.version)
            if isinstance(standing.state, ImageDeleted):
                return Written(image_id, standing.version)
            _refuse_other_authority(standing, version)
            if _owner_counts(standing, version):
                number = _next(standing, version, wanted)
                return await self._publish(deleted(standing.state, version=number))
            published = await self._counted(standing, wanted, self._catalogued.delete, image_id)
            return self._remember(deleted(standing.state, version=published.version), published)

    async def _counted(
        self,
        standing: Standing,
        wanted: IfMatch,
        write: Callable[..., Published],
        *args: object,
    ) -> Published:
        """A write through the catalogue, only on top of what the caller read, if it says so."""
        expected = standing.version if isinstance(wanted, int) else None
        try:
            return await asyncio.to_thread(write, *args, if_match=expected)
        except Conflict:
            if expected is None:
                raise
            # Another process wrote between our look and the compare-and-set.
            raise stale(None) from None

    async def _known(self, image_id: str, caller: Caller) -> Standing:
        standing = await self._status.known(image_id)
        if standing is None or not may_change(caller, standing.state):
            raise NotFound(f"no image {image_id} that you may change")
        return standing

    async def _upload(
        self, image_id: str, said: ImageFields, data: bytes, content_type: str, *, wanted: IfMatch
    ) -> Written:
        facts: dict[str, Any] = {
            name: getattr(said, name) for name in ImageFields.model_fields if name != "version"
        }
        if said.version is None:
            authority = Authority.SIGHTLINE
            expected = wanted if isinstance(wanted, int) else None
            write = partial(self._catalogued.put, content_type=content_type, **facts)
            published = await asyncio.to_thread(write, image_id, data, if_match=expected)
        else:
            authority = Authority.OWNER
            published = await self._publisher.upload(
                data, image_id=image_id, version=said.version, content_type=content_type, **facts
            )
        state = ImageUploaded(
            image_id=image_id,
            version=published.version,
            authority=authority,
            object=reference_to(data, self._bucket, image_id, content_type),
            **facts,
        )
        return self._remember(state, published)

    async def _publish(self, state: ImageState) -> Written:
        return self._remember(state, await self._publisher.publish(state))

    def _remember(self, state: ImageState, published: Published) -> Written:
        now = self._clock.now()
        self._pending.add(Pending(state=state, event_id=published.event_id, published=now))
        return Written(published.image_id, published.version)


def _allowed(fields: ImageFields, caller: Caller) -> ImageFields:
    """The fields with the caller's own owner filled in; 403 for what only an admin may say."""
    if Scope.ADMIN in caller.scopes:
        return fields
    if fields.moderation is not Moderation.ALLOWED:
        raise Problem("forbidden", "only an admin key moderates", {"field": "moderation"})
    if fields.owner_id not in (None, caller.owner_id):
        raise Problem("forbidden", "that is not your owner id", {"field": "owner_id"})
    return fields.model_copy(update={"owner_id": caller.owner_id})


def _refuse_admin_fields(changes: dict[str, Any], caller: Caller) -> None:
    if Scope.ADMIN in caller.scopes:
        return
    for name in ("moderation", "owner_id"):
        if name in changes:
            raise Problem("forbidden", f"only an admin key changes {name}", {"field": name})


def _refuse_other_authority(standing: Standing, version: int | None) -> None:
    """One authority counts an image's versions; backfill (version 0) has fixed none."""
    authority = standing.state.authority
    if authority is Authority.OWNER and version is None:
        raise _conflict("you count this image's versions: send one", standing)
    if authority is Authority.SIGHTLINE and version is not None:
        raise _conflict("Sightline counts this image's versions: send none, use If-Match", standing)


def _refuse_lower(standing: Standing, version: int | None) -> None:
    if version is not None and version < standing.version:
        raise _conflict(f"version {version} is below version {standing.version}", standing)


def _owner_counts(standing: Standing, version: int | None) -> bool:
    """Also from now on, where a backfilled image's owner begins to count."""
    return standing.state.authority is Authority.OWNER or version is not None


def _next(standing: Standing, version: int | None, wanted: IfMatch) -> int:
    if wanted is None:
        raise Problem("precondition-required", "say with If-Match which version you change")
    if version is None or version <= standing.version:
        raise _conflict(f"version must be above {standing.version}", standing)
    return version


def _conflict(detail: str, standing: Standing) -> Problem:
    facts = {"field": "version", "version": standing.version}
    return Problem("version-conflict", detail, facts, {"ETag": f'"{standing.version}"'})
