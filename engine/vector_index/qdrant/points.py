"""`PointStore` on one collection of a server: written in order, read as its replicas agree.

See docs/adr/0030.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from sightline.engine.records import GenerationSpec, IndexedImage, Likeness
from sightline.engine.vector_index.conditions import Where, among
from sightline.engine.vector_index.nearest_clusters import clusters_by_vector
from sightline.engine.vector_index.payload import (
    SEARCHABLE,
    SHOWN,
    named_vectors,
    point_id,
    to_payload,
)
from sightline.engine.vector_index.point_store import Points, Vectors
from sightline.engine.vector_index.qdrant.client import QdrantCalls
from sightline.engine.vector_index.qdrant.replication import AgreedReads, RepeatedReads, Replication
from sightline.engine.vector_index.qdrant.translation import as_lists, search_params, to_filter
from sightline.engine.vector_index.ranking import Asked, ScoredPoint
from sightline.engine.vector_index.stored_points import StoredPoint
from sightline.engine.vector_index.write_conditions import NEVER, PayloadChange, any_below

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_IDLE = frozenset({models.CollectionStatus.GREEN, models.CollectionStatus.GREY})
_LOOK_S = 0.1
Page = tuple[list[models.Record], models.ExtendedPointId | None]


class QdrantPoints:
    """See `PointStore`; where the server has too much to do, a call raises `Overloaded`.

    Args:
        calls: to the server.
        collection: its name.
        spec: what the collection was made with.
        replication: of the collection.
    """

    batch = 64

    def __init__(
        self, calls: QdrantCalls, collection: str, spec: GenerationSpec, replication: Replication
    ) -> None:
        self._calls = calls
        self._collection = collection
        self._spec = spec
        self._replication = replication
        self._agreed = AgreedReads(calls, replication)
        self._repeated = RepeatedReads(calls, replication)

    def upsert(self, images: Sequence[IndexedImage]) -> None:
        """See `PointStore.upsert`."""
        points = [
            models.PointStruct(
                id=point_id(image.image_id),
                vector=as_lists(named_vectors(image, self._spec)),
                payload=to_payload(image),
            )
            for image in images
        ]
        self._upsert(points, any_below(images))

    def insert(self, point: str, payload: dict[str, Any]) -> None:
        """See `PointStore.insert`."""
        self._upsert([models.PointStruct(id=point, vector={}, payload=payload)], NEVER)

    def _upsert(self, points: list[models.PointStruct], where: Where) -> None:
        fences = to_filter(where)
        self._calls(
            "upsert",
            lambda client: client.upsert(
                self._collection,
                points,
                wait=True,
                ordering=self._replication.ordering,
                update_filter=fences,
            ),
        )

    def applied(self, points: int) -> None:
        """Nothing to do: the server builds its graph when it finds it due."""

    def change(self, change: PayloadChange) -> None:
        """See `PointStore.change`."""
        here = to_filter(among(change.where, change.points))
        self._calls(
            "set payload",
            lambda client: client.set_payload(
                self._collection,
                change.payload,
                points=here,
                wait=True,
                ordering=self._replication.ordering,
            ),
        )

    def delete(self, points: Sequence[str], where: Where) -> None:
        """See `PointStore.delete`."""
        here = to_filter(among(where, points))
        self._calls(
            "delete",
            lambda client: client.delete(
                self._collection, here, wait=True, ordering=self._replication.ordering
            ),
        )

    def retrieve(
        self, points: Collection[str], *, fields: Sequence[str] | None = None, vectors: Vectors
    ) -> Points:
        """See `PointStore.retrieve`."""
        wanted, payload = list(points), True if fields is None else list(fields)
        records = self._agreed(
            "get",
            lambda client, how: client.retrieve(
                self._collection,
                wanted,
                with_payload=payload,
                with_vectors=vectors,
                consistency=how.consistency,
                timeout=how.timeout_s,
            ),
        )
        return _told(records)

    def read(
        self, where: Where, limit: int, *, vectors: Vectors = False, order_by: str | None = None
    ) -> Points:
        """See `PointStore.read`."""
        wanted, order = to_filter(where), None
        if order_by is not None:
            order = models.OrderBy(key=order_by, direction=models.Direction.ASC)
        records, _ = self._agreed(
            "read",
            lambda client, how: client.scroll(
                self._collection,
                wanted,
                limit=limit,
                order_by=order,
                with_payload=True,
                with_vectors=vectors,
                consistency=how.consistency,
                timeout=how.timeout_s,
            ),
        )
        return _told(records)

    def scan(self, where: Where | None, *, vectors: Vectors, batch: int) -> Iterator[StoredPoint]:
        """See `PointStore.scan`; as one replica has them.

        A page that several replicas agreed on would be shorter where they differ, and a short page
        is the server's last.
        """
        wanted = None if where is None else to_filter(where)
        offset: models.ExtendedPointId | None = None
        while True:
            records, offset = self._page(wanted, offset, batch, vectors=vectors)
            yield from map(StoredPoint.of, records)
            if offset is None:
                return

    def _page(
        self,
        wanted: models.Filter | None,
        after: models.ExtendedPointId | None,
        limit: int,
        *,
        vectors: Vectors,
    ) -> Page:
        return self._repeated(
            "scan",
            lambda client: client.scroll(
                self._collection,
                wanted,
                limit=limit,
                offset=after,
                with_payload=True,
                with_vectors=vectors,
            ),
        )

    def nearest(
        self, vectors: NDArray[np.float32], where: Where, asked: Asked, *, exact: bool
    ) -> Sequence[Sequence[ScoredPoint]]:
        """See `PointStore.nearest`."""
        alone = self._replication.alone
        fields = True if asked.fields is None else list(asked.fields)
        wanted = to_filter(among(where, asked.points))
        requests = [
            models.QueryRequest(
                query=vector,
                filter=wanted,
                params=search_params(exact=exact),
                limit=asked.limit,
                with_payload=fields if alone else False,
            )
            for vector in vectors.tolist()
        ]
        answers = self._repeated(
            "search", lambda client: client.query_batch_points(self._collection, requests)
        )
        found = [answer.points for answer in answers]
        return found if alone else [self._shown(each, asked.fields) for each in found]

    def _shown(
        self, found: list[models.ScoredPoint], fields: Sequence[str] | None
    ) -> list[models.ScoredPoint]:
        """Those of one replica's results that a majority shows, as the majority has them.

        Several are not asked to search: their graphs find different images, and their scores differ
        between kinds of processors, so that they would agree on few.
        """
        if not found:
            return []
        wanted = None if fields is None else [*fields, SEARCHABLE]
        said = dict(self.retrieve([str(p.id) for p in found], fields=wanted, vectors=False))
        return [
            point.model_copy(update={"payload": told.payload})
            for point in found
            if (told := said.get(str(point.id))) and told.payload.get(SEARCHABLE) == SHOWN
        ]

    def clusters_near(
        self, pictures: Sequence[Likeness], *, bits: int, limit: int
    ) -> list[tuple[str, ...]]:
        """See `PointStore.clusters_near`: by vector, since other workers write here, too."""
        del bits
        return clusters_by_vector(self, pictures, limit)

    def count(self, where: Where) -> int:
        """See `PointStore.count`."""
        wanted = to_filter(where)
        return self._repeated(
            "count",
            lambda client: client.count(self._collection, count_filter=wanted, exact=True),
        ).count

    def flush(self) -> None:
        """Nothing to do: the server answers an upsert after it is in its write-ahead log."""

    def wait_optimised(self, timeout_s: float) -> bool:
        """See `VectorIndex.wait_optimised`; what the server put off (grey) is not waited for."""
        deadline = time.monotonic() + timeout_s
        while self._status() not in _IDLE:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_S)
        return True

    def _status(self) -> models.CollectionStatus:
        return self._calls("read", lambda client: client.get_collection(self._collection)).status

    def close(self) -> None:
        """Let go of the connections; repeated calls do nothing."""
        self._calls.close()


def _told(records: Sequence[models.Record]) -> Points:
    return [(str(record.id), StoredPoint.of(record)) for record in records]
