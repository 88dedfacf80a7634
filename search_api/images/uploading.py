"""Pictures in, acknowledged uploads out: under a new id, or under the caller's own."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from typing import cast

from sightline.engine.serving.pairs import ServingPairs
from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import EVERYTHING, Caller
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.moderation import OperatorVerdict
from sightline.producers.images.originals import Original, original_of
from sightline.producers.images.states import ImageFacts
from sightline.producers.images.terms import Terms
from sightline.schemas.fields import Moderation
from sightline.schemas.moderation import ImageModerated
from sightline.search_api.http.bodies.form_reading import Uploaded
from sightline.search_api.http.hashing import hashed
from sightline.search_api.http.if_match import IfMatch
from sightline.search_api.http.request_fields import ImageFields
from sightline.search_api.images.accepted import Accepted
from sightline.search_api.images.acknowledging import Acknowledging
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.permits import noted_origin, permit_of
from sightline.search_api.images.write_rules import (
    fields_of_caller,
    refuse_derived_id,
    refuse_known,
    refuse_other_authority,
)
from sightline.search_api.search.query_vectors import QueryVectors


@dataclass(frozen=True, slots=True, eq=False)
class Uploading:
    """Uploads images for callers who may, new ones and new pictures of known ones.

    Args:
        acknowledging: carries the writes.
        catalogued: writes of ids that may be known.
        new_images: writes of ids made just now, which the index cannot know.
        pictures: says whether bytes are a picture that we accept.
        pairs: the model that frames it.
        bucket: where the bytes lie.
        moderating: decides what an admin says of moderation.
    """

    acknowledging: Acknowledging
    _: KW_ONLY
    catalogued: CataloguedImages
    new_images: CataloguedImages
    pictures: QueryVectors
    pairs: ServingPairs
    bucket: str
    moderating: Moderating

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
        said = fields_of_caller(fields, caller)
        async with self.acknowledging.turn(image_id):
            data = await self._accepted_bytes(picture)
            original = await self._original(image_id, data, picture.content_type)
            decision = await self._decide(image_id, said, caller)
            terms = Terms(origin=noted_origin(caller))
            written = await self._upload(self.new_images, original, image_id, said, terms)
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
        said = fields_of_caller(fields, caller)
        async with self.acknowledging.turn(image_id):
            data = await self._accepted_bytes(picture)
            # Whoever names a version speaks of an image of their own: another's is none, whoever
            # names none learns that an id is taken.
            asking = EVERYTHING if wanted.wanted is None else caller
            known = await self.acknowledging.known(image_id, asking)
            permit = permit_of(image_id, caller, wanted)
            permit(None if known is None else known.state)
            original = await self._original(image_id, data, picture.content_type)
            if known is not None:
                refuse_other_authority(known, said.version)
                refuse_known(known, said, original.reference)
            terms = Terms(
                permit=permit,
                # The same bytes again after a rejection: the object may be whole this time.
                again=known is not None and known.rejected,
                origin=noted_origin(caller),
                mend=Scope.ADMIN in caller.scopes,
            )
            decision = await self._decide(image_id, said, caller)
            hides = known is not None and known.state.moderation is Moderation.BLOCKED
            written = await self._upload(
                self.catalogued, original, image_id, said, terms, hides=hides
            )
            return replace(written, decision=decision)

    async def _accepted_bytes(self, picture: Uploaded) -> bytes:
        """The file's bytes, once they are known to be a picture that we accept."""
        data = await picture.read()
        await self.pictures.prepared(data, self.pairs.now().embedder.framing)
        return data

    async def _original(self, image_id: str, data: bytes, content_type: str) -> Original:
        return await hashed(
            partial(original_of, bucket=self.bucket, image_id=image_id, content_type=content_type),
            data,
        )

    async def _decide(
        self, image_id: str, said: ImageFields, caller: Caller
    ) -> ImageModerated | None:
        """What an admin says of moderation with an upload; before it, as hiding comes first.

        An owner's `allowed` says nothing, as in an owner's event.
        """
        if Scope.ADMIN not in caller.scopes or "moderation" not in said.model_fields_set:
            return None
        verdict = OperatorVerdict(moderation=Moderation(said.moderation))
        return await self.moderating.decide(image_id, verdict)

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
            return await self.acknowledging.counted(put)
        return await self.acknowledging.stored(image_id, original, facts, version=said.version)


def _facts(said: ImageFields) -> ImageFacts:
    """What a caller said of an image; that its names are facts of images, a test holds."""
    return cast("ImageFacts", said.model_dump(exclude={"version", "moderation"}))
