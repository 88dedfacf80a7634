"""Ids in, acknowledged deletes out: an owner's at their version, the operator's always."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import partial

from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import Caller
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.states import deleted
from sightline.producers.images.terms import Permit, Terms
from sightline.schemas.fields import MAX_OWNER_VERSION
from sightline.schemas.images import Authority, ImageDeleted
from sightline.search_api.http.if_match import IfMatch
from sightline.search_api.images.accepted import Accepted
from sightline.search_api.images.acknowledging import Acknowledging
from sightline.search_api.images.known_image import KnownImage
from sightline.search_api.images.permits import changeable, permit_of
from sightline.search_api.images.status import ImageStatus
from sightline.search_api.images.write_rules import (
    next_version,
    operators_version,
    owner_counts,
    refuse_other_authority,
)


@dataclass(frozen=True, slots=True, eq=False)
class Deleting:
    """Deletes images for callers who may.

    Args:
        acknowledging: carries the writes.
        catalogued: writes of images whose versions Sightline counts.
        status: says whether what there is of an image can be read.
    """

    acknowledging: Acknowledging
    _: KW_ONLY
    catalogued: CataloguedImages
    status: ImageStatus

    async def delete(
        self, image_id: str, version: int | None, caller: Caller, wanted: IfMatch
    ) -> Accepted:
        """Delete for good; deleting again changes nothing. An admin's needs no version.

        Raises:
            As `Changing.change`.
        """
        operator = Scope.ADMIN in caller.scopes
        async with self.acknowledging.turn(image_id):
            found = await self.acknowledging.known(image_id, caller)
            if found is None and operator and await self.status.is_damaged(image_id):
                return await self._delete_counted(image_id, Terms(mend=True))
            known = changeable(image_id, found, caller)
            wanted.check(known.version)
            if isinstance(known.state, ImageDeleted) and not known.unreadable:
                return Accepted(image_id, known.version)
            permit = permit_of(image_id, caller, wanted)
            if operator:
                return await self._operators_delete(known, version, permit)
            refuse_other_authority(known, version, send="send `?version=N` with N")
            if owner_counts(known, version):
                most = MAX_OWNER_VERSION + 1  # who has counted to the end may still delete
                number = next_version(known, version, wanted, caller, most)
                state = deleted(known.state, version=number)
                return await self.acknowledging.published(state)
            return await self._delete_counted(image_id, Terms(permit=permit))

    async def _operators_delete(
        self, known: KnownImage, version: int | None, permit: Permit
    ) -> Accepted:
        """Whoever counts the versions, and wherever they are."""
        if known.state.authority is Authority.OWNER:
            number = operators_version(known, version)
            return await self.acknowledging.published(deleted(known.state, version=number))
        terms = Terms(permit=permit, mend=True)
        return await self._delete_counted(known.state.image_id, terms)

    async def _delete_counted(self, image_id: str, terms: Terms) -> Accepted:
        delete = partial(self.catalogued.delete, image_id, terms=terms)
        return await self.acknowledging.counted(delete)
