"""Patches in, acknowledged changes out: of the image's own state, and of its moderation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import cast

from sightline.engine.errors import NotFound
from sightline.engine.vector_index.visible import Caller
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.moderation import OperatorVerdict
from sightline.producers.images.states import ImageFacts, changed
from sightline.producers.images.terms import Terms
from sightline.schemas.fields import MAX_OWNER_VERSION, Moderation
from sightline.schemas.images import Authority, ImageDeleted, ImageState
from sightline.schemas.moderation import ImageModerated
from sightline.search_api.http.if_match import IfMatch
from sightline.search_api.http.request_fields import ImagePatch
from sightline.search_api.images.accepted import Accepted
from sightline.search_api.images.acknowledging import Acknowledging
from sightline.search_api.images.known_image import KnownImage
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.permits import changeable, permit_of
from sightline.search_api.images.write_rules import (
    next_version,
    owner_counts,
    refuse_admin_fields,
    refuse_other_authority,
)


@dataclass(frozen=True, slots=True, eq=False)
class Changing:
    """Changes images for callers who may.

    Args:
        acknowledging: carries the writes.
        catalogued: writes of images whose versions Sightline counts.
        moderating: decides what an admin says of moderation.
    """

    acknowledging: Acknowledging
    _: KW_ONLY
    catalogued: CataloguedImages
    moderating: Moderating

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
            Overloaded: too many writes wait.
        """
        changes = cast("ImageFacts", patch.changes())
        refuse_admin_fields(changes, caller)
        async with self.acknowledging.turn(image_id):
            found = await self.acknowledging.known(image_id, caller)
            known = changeable(image_id, found, caller)
            if isinstance(known.state, ImageDeleted):
                raise NotFound(f"image {image_id} is deleted; upload it again")
            wanted.check(known.version)
            verdict = changes.get("moderation")
            of_state = _of_state(changes, known.state)
            if not of_state and verdict is not None:
                decision = await self._decided(image_id, verdict)
                return Accepted(image_id, known.version, decision=decision)
            change = self._ready(known, of_state, patch.version, caller, wanted)
            if verdict is None:
                return await change()
            decision = await self._decided(image_id, verdict)
            return replace(await change(), decision=decision)

    def _ready(
        self,
        known: KnownImage,
        changes: ImageFacts,
        version: int | None,
        caller: Caller,
        wanted: IfMatch,
    ) -> Callable[[], Awaitable[Accepted]]:
        """The change, ready to be made, once nothing stands against it."""
        refuse_other_authority(known, version)
        image_id = known.state.image_id
        if owner_counts(known, version):
            number = next_version(known, version, wanted, caller, MAX_OWNER_VERSION)
            owned = Authority.OWNER
            state = changed(known.state, changes, version=number, authority=owned)
            return partial(self.acknowledging.published, state)
        terms = Terms(permit=permit_of(image_id, caller, wanted))
        patch = partial(self.catalogued.patch, image_id, changes, terms=terms)
        return partial(self.acknowledging.counted, patch)

    async def _decided(self, image_id: str, moderation: str) -> ImageModerated:
        verdict = OperatorVerdict(moderation=Moderation(moderation))
        return await self.moderating.decide(image_id, verdict)


def _of_state(changes: ImageFacts, state: ImageState) -> ImageFacts:
    """What of a patch changes the image's own state.

    Moderation does not, but for lifting a block that an earlier release kept in the state.
    """
    lifts = changes.get("moderation") is Moderation.ALLOWED
    kept_there = state.moderation is Moderation.BLOCKED and state.authority is not Authority.OWNER
    if lifts and kept_there:
        return changes
    return cast("ImageFacts", {n: v for n, v in changes.items() if n != "moderation"})
