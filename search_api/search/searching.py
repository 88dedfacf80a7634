"""A query in, an answer out: anchor, vector, one visible index read, re-rank, record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from starlette.responses import Response

from sightline.engine.errors import NotFound, Part, PartUnavailable
from sightline.engine.health import Health
from sightline.engine.pictures.prepare import PreparedImage
from sightline.engine.ports import Embedder
from sightline.engine.records import IndexedImage
from sightline.engine.search_ids import SearchIds, upload_ids
from sightline.engine.serving.pairs import ServingPairs
from sightline.engine.settings import ApiSettings
from sightline.engine.vector_index.visible import ANYBODY
from sightline.search_api.http.bodies.form_reading import Uploaded
from sightline.search_api.http.hashing import hashed
from sightline.search_api.http.limits.concurrency import Gate
from sightline.search_api.http.request_fields import ImageSearch, SearchFields, UploadSearch
from sightline.search_api.search.answering import Answering, Asking, SearchUnderWay
from sightline.search_api.search.answers import NO_HASH, Anchor, named_actor
from sightline.search_api.search.exploring import Exploring
from sightline.search_api.search.query_vectors import QueryVectors
from sightline.search_api.search.rankings import Rankings, rankings_of
from sightline.search_api.threads.pools import ApiPool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Searching:
    """Answers searches, by a picture or by an image that is indexed.

    A search takes one pair of model and index when it begins, and uses nothing else to its end.
    """

    pairs: ServingPairs
    vectors: QueryVectors
    exploring: Exploring
    answering: Answering
    gate: Gate
    ids: SearchIds
    settings: ApiSettings
    health: Health
    threads: ApiPool

    async def by_image(self, fields: ImageSearch, request: Asking) -> Response:
        """Search by an indexed image: no store, no embedder.

        Raises:
            NotFound: nobody or not everybody may see it.
            Overloaded: too many searches wait.
            PartUnavailable: the index is down.
        """
        async with self.gate.enter(Part.INDEX):
            with self._begun(fields, request) as search:
                return await self._read(self._of_image, fields, search)

    async def by_upload(
        self, fields: UploadSearch, uploaded: Uploaded, request: Asking
    ) -> Response:
        """Search by an uploaded picture, or a part of it.

        Raises:
            BadImage: it is not a picture that we accept.
            Overloaded, PartUnavailable: as `by_image`; also of the embedder.
        """
        async with self.gate.enter(Part.EMBEDDER):
            data = await uploaded.read()
            digest, anchor_id = await hashed(partial(upload_ids, box=fields.crop), data)
            keep = fields.store_query and self.settings.store_queries
            kept = (data, uploaded.content_type) if keep else None
            with self._begun(fields, request) as search:
                picture, vectors = await self._seen(data, fields, search)
                anchor = Anchor(
                    anchor_id=anchor_id, perceptual_hash=picture.perceptual_hash, sha256=digest
                )
                return await self._read(self._of_vectors, fields, vectors, anchor, search, kept)

    @contextmanager
    def _begun(self, fields: SearchFields, request: Asking) -> Iterator[SearchUnderWay]:
        # A session that is made for this search alone is in no experiment (docs/adr/0027).
        actor_id = named_actor(fields, self.ids, names_users=request.names_users)
        with self.pairs.taken(actor_id) as pair:
            yield SearchUnderWay(request, pair)

    async def _seen(
        self, data: bytes, fields: UploadSearch, search: SearchUnderWay
    ) -> tuple[PreparedImage, list[NDArray[np.float32]]]:
        """The picture as the pair's model sees it, and its vector by each model that answers."""
        watch, pictures, vectors = search.request.watch, [], []
        for embedder in [pair.embedder for pair in search.pair.all]:
            with watch.stage("decode"):
                picture = await self.vectors.prepared(data, embedder.framing, fields.crop)
            with watch.stage("embed"):
                vectors.append(await self._embedded(embedder, picture.crop))
            pictures.append(picture)
        return pictures[0], vectors

    async def _embedded(self, embedder: Embedder, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            vector = await self.vectors.vector(embedder, crop)
        except PartUnavailable as error:
            self.health.down(error.part, str(error))
            raise
        return vector

    async def _read(self, read: Callable[..., T], *args: object) -> T:
        """One hop to a thread, from what the index is asked to the answer's bytes."""
        try:
            result = await self.threads.run(read, *args)
        except PartUnavailable as error:
            self.health.down(error.part, str(error))
            raise
        self.health.up(Part.INDEX)
        return result

    def _of_image(self, fields: ImageSearch, search: SearchUnderWay) -> Response:
        with search.request.watch.stage("anchor"):
            images = [search.pair.visible.get(fields.image_id, ANYBODY)]
            if search.pair.beside is not None:
                with suppress(NotFound):  # it is hidden there already: the one ranking answers
                    images.append(search.pair.beside.visible.get(fields.image_id, ANYBODY))
        vectors = [image.vector for image in images if image.vector is not None]
        hashed_as = images[0].perceptual_hash or NO_HASH
        anchor = Anchor(anchor_id=images[0].image_id, perceptual_hash=hashed_as)
        rankings = self._found(fields, vectors, images[0], search)
        return self.answering.answer(fields, anchor, rankings, search)

    def _of_vectors(
        self,
        fields: UploadSearch,
        vectors: list[NDArray[np.float32]],
        anchor: Anchor,
        search: SearchUnderWay,
        kept: tuple[bytes, str] | None,
    ) -> Response:
        rankings = self._found(fields, vectors, None, search)
        return self.answering.answer(fields, anchor, rankings, search, kept=kept)

    def _found(
        self,
        fields: SearchFields,
        vectors: list[NDArray[np.float32]],
        anchor: IndexedImage | None,
        search: SearchUnderWay,
    ) -> Rankings:
        nonce = self.exploring.nonce(fields, search.pair.variant)
        chance = self.exploring.chance(nonce)
        found = rankings_of(
            fields,
            search.pair,
            vectors,
            anchor=anchor,
            bits=self.settings.near_duplicate_bits,
            below=0 if chance is None else self.exploring.below,
            watch=search.request.watch,
        )
        if chance is None:
            return replace(found, nonce=nonce)
        own = self.exploring.varied(found.own, fields.limit, chance)
        return replace(found, own=own, nonce=nonce)
