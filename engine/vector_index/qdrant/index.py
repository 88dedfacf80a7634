"""The vector index on a Qdrant server or cluster (1.18 or later), or on the client's local mode."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from functools import partial

import numpy as np
from qdrant_client import QdrantClient, models

from sightline.engine.errors import NotFound
from sightline.engine.records import GenerationSpec, Hit, IndexedImage, SearchRequest
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.generations import open_serving
from sightline.engine.vector_index.payload import (
    LISTED,
    TOMBSTONE_TYPE,
    check_vectors,
    checked_vector,
    from_payload,
    highest,
    point_id,
    to_payload,
    winner_payload,
)
from sightline.engine.vector_index.qdrant.client import QdrantCalls, connect
from sightline.engine.vector_index.qdrant.collections import QdrantCollections
from sightline.engine.vector_index.qdrant.translation import (
    any_below,
    has_ids,
    has_keyword,
    is_at,
    search_params,
    visible,
)
from sightline.engine.vector_index.ranking import ScoredPayload, ranked_page

_BATCH = 64


class QdrantVectorIndex:
    """`VectorIndex` on one collection; any number of processes may have it open.

    The server applies the fence itself, point by point and on every replica, so concurrent
    writers and replicas that see writes in another order end in the highest fence.
    """

    def __init__(self, calls: QdrantCalls, collection: str, spec: GenerationSpec) -> None:
        self._calls = calls
        self._collection = collection
        self._spec = spec

    @classmethod
    def open(
        cls, settings: IndexSettings, spec: GenerationSpec, *, client: QdrantClient | None = None
    ) -> QdrantVectorIndex:
        """The generation that serves, made from `spec` where there is none.

        `client` replaces the one that the settings describe; with `QdrantClient(":memory:")` it
        is the client's local mode, for tests.

        Raises:
            GenerationMismatch: another model made it.
            PartUnavailable: the server did not answer.
        """
        with closing(QdrantGenerations.of(settings, client=client)) as generations:
            return open_serving(generations, spec)

    @property
    def spec(self) -> GenerationSpec:
        """The model and geometry that this generation was made with."""
        return self._spec

    def apply(self, images: Sequence[IndexedImage]) -> None:
        """Write each image iff its fence is above the stored one; see `VectorIndex.apply`.

        Raises:
            ValueError: a vector is not finite and unit; nothing was written.
            PartUnavailable: it may be half applied; repeat it whole.
        """
        winners = highest(images)
        check_vectors(winners, self._spec.dimensions)
        for start in range(0, len(winners), _BATCH):
            batch = winners[start : start + _BATCH]
            self._calls("upsert", partial(self._upsert, batch=batch))

    def _upsert(self, client: QdrantClient, *, batch: Sequence[IndexedImage]) -> None:
        points = [
            models.PointStruct(
                id=point_id(image.image_id),
                vector={} if image.vector is None else image.vector.tolist(),
                payload=to_payload(image),
            )
            for image in batch
        ]
        client.upsert(self._collection, points, wait=True, update_filter=any_below(batch))

    def relocate(self, images: Sequence[IndexedImage]) -> None:
        """Store only where the winning event lies now, iff the fence is equal."""
        for image in images:
            self._calls("relocate", partial(self._relocate, image=image))

    def _relocate(self, client: QdrantClient, *, image: IndexedImage) -> None:
        payload = {"winner": winner_payload(image)}
        client.set_payload(self._collection, payload, points=is_at(image), wait=True)

    def get(self, image_ids: Collection[str], *, vectors: bool = False) -> dict[str, IndexedImage]:
        """The stored images, whatever their visibility; unknown ids are absent."""
        points = [point_id(image_id) for image_id in image_ids]
        records = self._calls(
            "get",
            lambda client: client.retrieve(
                self._collection, points, with_payload=True, with_vectors=vectors
            ),
        )
        images = (_image(record) for record in records)
        return {image.image_id: image for image in images}

    def search(self, request: SearchRequest) -> list[Hit]:
        """The nearest listed images; see `VectorIndex.search`."""
        vector = checked_vector(request.vector, self._spec.dimensions, of="the query").tolist()
        seen = visible(request.tags, request.exclude_ids)
        params = search_params(exact=request.exact)

        def query(client: QdrantClient, limit: int) -> list[models.ScoredPoint]:
            return client.query_points(
                self._collection,
                query=vector,
                query_filter=seen,
                search_params=params,
                limit=limit,
                with_payload=True,
            ).points

        def fetch(limit: int) -> list[ScoredPayload]:
            points = self._calls("search", lambda client: query(client, limit))
            return [ScoredPayload(point.score, point.payload or {}) for point in points]

        return ranked_page(fetch, request.limit)

    def scan(self, *, vectors: bool = False, batch: int = 1_000) -> Iterator[IndexedImage]:
        """Every stored image once, by point id; what is written meanwhile may or may not show."""
        offset: models.ExtendedPointId | None = None
        while True:
            records, offset = self._calls("scan", self._scroll(offset, vectors=vectors, n=batch))
            yield from (_image(record) for record in records)
            if offset is None:
                return

    def _scroll(
        self, offset: models.ExtendedPointId | None, *, vectors: bool, n: int
    ) -> Callable[[QdrantClient], tuple[list[models.Record], models.ExtendedPointId | None]]:
        return lambda client: client.scroll(
            self._collection, limit=n, offset=offset, with_payload=True, with_vectors=vectors
        )

    def count(self, *, listed_only: bool = False) -> int:
        """How many images are stored, or only those that a search can return."""
        listed = models.Filter(must=[has_keyword("listing", LISTED)]) if listed_only else None
        return self._calls(
            "count",
            lambda client: client.count(self._collection, count_filter=listed, exact=True),
        ).count

    def purge(self, image_ids: Collection[str]) -> None:
        """Remove tombstones for good; what is not a tombstone (any more) stays."""
        if not image_ids:
            return
        tombstones = models.Filter(
            must=[has_ids(list(image_ids)), has_keyword("type", TOMBSTONE_TYPE)]
        )
        self._calls("purge", lambda client: client.delete(self._collection, tombstones, wait=True))

    def flush(self) -> None:
        """Nothing to do: the server answers an upsert after it is in its write-ahead log."""

    def close(self) -> None:
        """Let go of the connections; repeated calls do nothing."""
        self._calls.close()


def _image(record: models.Record) -> IndexedImage:
    vector = np.asarray(record.vector, dtype=np.float32) if record.vector else None
    return from_payload(record.payload or {}, vector)


class QdrantGenerations(QdrantCollections):
    """The generations of one server, opened as indexes; see `generations.Generations`."""

    @classmethod
    def of(
        cls, settings: IndexSettings, *, client: QdrantClient | None = None
    ) -> QdrantGenerations:
        """On the server of the settings, or on a client given instead."""
        serial = client is not None and client.init_options.get("location") == ":memory:"
        return cls(QdrantCalls.through(client or connect(settings), serial=serial), settings)

    def open(self, name: str) -> QdrantVectorIndex:
        """Open an existing one. Raises `NotFound`, `PartUnavailable`."""
        spec = self.spec(name)
        if spec is None:
            raise NotFound(f"index: no generation {name!r} on the server")
        return QdrantVectorIndex(self.calls.share(), self.collection(name), spec)
