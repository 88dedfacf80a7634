"""`PointStore` on the embedded engine: one live shard, and the optimiser beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import qdrant_edge as edge

from sightline.engine.records import GenerationSpec, IndexedImage, Likeness
from sightline.engine.vector_index.conditions import Where, among
from sightline.engine.vector_index.edge.clusters import EdgeClusters
from sightline.engine.vector_index.edge.live_shard import EdgeStore
from sightline.engine.vector_index.edge.optimiser import Optimiser
from sightline.engine.vector_index.edge.translation import search_params, to_filter
from sightline.engine.vector_index.edge.upserts import insert, upsert
from sightline.engine.vector_index.nearest_clusters import clusters_by_vector
from sightline.engine.vector_index.payload import point_id
from sightline.engine.vector_index.point_store import Points, Vectors
from sightline.engine.vector_index.ranking import Asked, ScoredPoint
from sightline.engine.vector_index.stored_points import StoredPoint
from sightline.engine.vector_index.write_conditions import NEVER, PayloadChange

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TOGETHER = 4
"""Vectors that are looked for in one pass over the points. Of four each takes .6 of what one alone
does, of eight .55 (6,000 points without a graph: .84, .5 and .45 ms, measured); and a search waits
for the whole pass, since the engine holds the interpreter's lock meanwhile."""


class EdgePoints:
    """See `PointStore`; every write raises `DiskFull` where there is too little room for it."""

    batch = 16
    """The engine holds the interpreter's lock while it writes, so a search waits for a whole batch:
    10 ms at 16, 25 and more at 64, at the same cost per point (measured)."""

    def __init__(self, store: EdgeStore, spec: GenerationSpec, *, optimise_after: int) -> None:
        self._store = store
        self._spec = spec
        self._clusters = EdgeClusters(store)
        self._optimiser = Optimiser(store, optimise_after=optimise_after)
        self._optimiser.wrote(store.unindexed())

    def upsert(self, images: Sequence[IndexedImage]) -> None:
        """Insert or replace; an insertion that another writer forestalled changes nothing."""
        self._clusters.writes(images)
        known = self._known([point_id(image.image_id) for image in images])
        for write, there in ((insert, False), (upsert, True)):
            batch = [i for i in images if (point_id(i.image_id) in known) is there]
            if batch:
                points = [point_id(image.image_id) for image in batch]
                self._store.write(write(batch, self._spec), points)

    def applied(self, points: int) -> None:
        """Wakes the optimiser where so much was written that a graph pays."""
        self._optimiser.wrote(points)

    def _known(self, points: Sequence[str]) -> set[str]:
        """Which of the points there are, even such as hold a decision only."""
        with self._store.reading("get") as shard:
            records = shard.retrieve(list(points), with_payload=False, with_vector=False)
        return {str(record.id) for record in records}

    def insert(self, point: str, payload: dict[str, Any]) -> None:
        """See `PointStore.insert`."""
        points = [edge.Point(point, {}, payload)]
        operation = edge.UpdateOperation.upsert_points(points, condition=to_filter(NEVER))
        self._store.write(operation, [point])

    def change(self, change: PayloadChange) -> None:
        """See `PointStore.change`."""
        here = to_filter(among(change.where, change.points))
        operation = edge.UpdateOperation.set_payload_by_filter(here, change.payload)
        self._store.write(operation, change.points)

    def delete(self, points: Sequence[str], where: Where) -> None:
        """See `PointStore.delete`."""
        here = to_filter(among(where, points))
        self._store.write(edge.UpdateOperation.delete_points_by_filter(here), points)

    def retrieve(
        self, points: Collection[str], *, fields: Sequence[str] | None = None, vectors: Vectors
    ) -> Points:
        """See `PointStore.retrieve`."""
        payload = True if fields is None else list(fields)
        with self._store.reading("get") as shard:
            records = shard.retrieve(list(points), with_payload=payload, with_vector=vectors)
        return [(str(record.id), StoredPoint.of(record)) for record in records]

    def read(
        self, where: Where, limit: int, *, vectors: Vectors = False, order_by: str | None = None
    ) -> Points:
        """See `PointStore.read`."""
        asked = edge.ScrollRequest(
            limit=limit,
            filter=to_filter(where),
            with_payload=True,
            with_vector=vectors,
            order_by=None if order_by is None else edge.OrderBy(order_by, edge.Direction.Asc),
        )
        with self._store.reading("read") as shard:
            records, _ = shard.scroll(asked)
        return [(str(record.id), StoredPoint.of(record)) for record in records]

    def scan(self, where: Where | None, *, vectors: Vectors, batch: int) -> Iterator[StoredPoint]:
        """See `PointStore.scan`."""
        wanted = None if where is None else to_filter(where)
        offset: edge.PointId | None = None
        while True:
            asked = edge.ScrollRequest(
                offset=offset, limit=batch, filter=wanted, with_payload=True, with_vector=vectors
            )
            with self._store.reading("scan") as shard:
                records, offset = shard.scroll(asked)
            yield from map(StoredPoint.of, records)
            if offset is None:
                return

    def nearest(
        self, vectors: NDArray[np.float32], where: Where, asked: Asked, *, exact: bool
    ) -> Sequence[Sequence[ScoredPoint]]:
        """See `PointStore.nearest`."""
        wanted = to_filter(among(where, asked.points))
        fields = True if asked.fields is None else list(asked.fields)
        requests = [
            edge.QueryRequest(
                limit=asked.limit,
                query=edge.Query.Nearest(vector),
                filter=wanted,
                params=search_params(exact=exact),
                with_payload=fields,
            )
            for vector in vectors.tolist()
        ]
        found: list[Sequence[ScoredPoint]] = []
        for start in range(0, len(requests), _TOGETHER):
            batch = edge.QueryBatchRequest(requests[start : start + _TOGETHER])
            with self._store.reading("search") as shard:
                found += shard.query_batch(batch)
        return found

    def clusters_near(
        self, pictures: Sequence[Likeness], *, bits: int, limit: int
    ) -> list[tuple[str, ...]]:
        """See `PointStore.clusters_near`."""
        may_have = self._clusters.may_have(pictures, bits=bits)
        asked = [picture for picture, may in zip(pictures, may_have, strict=True) if may]
        found = iter(clusters_by_vector(self, asked, limit))
        return [next(found) if may else () for may in may_have]

    def count(self, where: Where) -> int:
        """See `PointStore.count`."""
        with self._store.reading("count") as shard:
            return shard.count(edge.CountRequest(exact=True, filter=to_filter(where)))

    def flush(self) -> None:
        """See `PointStore.flush`."""
        self._store.flush()

    def wait_optimised(self, timeout_s: float) -> bool:
        """Whether the optimiser became idle in time; before that, order may still change."""
        return self._optimiser.wait_idle(timeout_s)

    def close(self) -> None:
        """Stop the optimiser, flush, let go of the directory; repeated calls do nothing."""
        self._optimiser.stop()
        self._store.close()
