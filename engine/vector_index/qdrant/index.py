"""The vector index on a Qdrant server or cluster (1.18 or later), or on the client's local mode."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from qdrant_client import QdrantClient, models

from sightline.engine.errors import NotFound
from sightline.engine.records import (
    GenerationSpec,
    Hit,
    IndexedDecision,
    IndexedImage,
    Nearby,
    SearchRequest,
    Sight,
    TagFilter,
)
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.generations import open_serving
from sightline.engine.vector_index.payload import (
    EMPTY_IMAGE,
    FENCES,
    checked_vector,
    decision_place,
    named_vectors,
    point_id,
    to_payload,
    winner_payload,
)
from sightline.engine.vector_index.qdrant.client import QdrantCalls, connect
from sightline.engine.vector_index.qdrant.collections import QdrantCollections
from sightline.engine.vector_index.qdrant.points import Points
from sightline.engine.vector_index.qdrant.translation import (
    any_below,
    any_image,
    as_lists,
    decide,
    decided,
    is_at,
    is_decision,
    listed,
    never,
    search_params,
    seen,
    tombstones,
    undecided_point,
    visible,
    visible_to,
)
from sightline.engine.vector_index.ranking import (
    CLUSTER,
    Asked,
    ScoredPoint,
    nearby,
    ranked_page,
)
from sightline.engine.vector_index.stored_points import (
    StoredPoint,
    decisions_by_image,
    decisions_of,
    images_of,
    known_images,
    seen_images,
    shown_images,
    vectors_to_read,
)
from sightline.engine.vector_index.writing import write_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 64


_IDLE = frozenset({models.CollectionStatus.GREEN, models.CollectionStatus.GREY})
_LOOK_S = 0.1


class QdrantVectorIndex:
    """`VectorIndex` on one collection; any number of processes may have it open.

    The server applies the fence itself, point by point and on every replica, so concurrent
    writers end in the highest fence; `Points` sees to it that replicas do so alike.
    """

    def __init__(self, points: Points, spec: GenerationSpec) -> None:
        self._points = points
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
            ValueError: as `VectorIndex.apply`; nothing was written.
            PartUnavailable: it may be half applied; repeat it whole.
        """
        write_images(
            images,
            self._write,
            self._payloads,
            spec=self._spec,
            batch=_BATCH,
        )

    def _write(self, batch: Sequence[IndexedImage]) -> None:
        points = [
            models.PointStruct(
                id=point_id(image.image_id),
                vector=as_lists(named_vectors(image, self._spec)),
                payload=to_payload(image),
            )
            for image in batch
        ]
        self._points.upsert("upsert", points, where=any_below(batch))

    def relocate(self, images: Sequence[IndexedImage]) -> None:
        """Store only where the winning event lies now, iff the fence is equal."""
        for image in images:
            self._points.set("relocate", {"winner": winner_payload(image)}, where=is_at(image))

    def moderate(self, decisions: Sequence[IndexedDecision]) -> None:
        """Write each decision iff it is above the stored one; see `VectorIndex.moderate`."""
        for decision in decisions:
            self._points.upsert("moderate", [undecided_point(decision)], where=never())
            for where, payload in decide(decision):
                self._points.set("moderate", payload, where=where)

    def relocate_decisions(self, decisions: Sequence[IndexedDecision]) -> None:
        """Store only where the winning decision lies now, iff the fence is equal."""
        for decision in decisions:
            here = {"decision_place": decision_place(decision)}
            self._points.set("relocate", here, where=is_decision(decision))

    def decisions(self, image_ids: Collection[str]) -> dict[str, IndexedDecision]:
        """The stored decisions, about known images and others."""
        return decisions_by_image(self._payloads(image_ids).values())

    def _payloads(self, image_ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Fences and decisions as they are stored, by point."""
        records = self._retrieve(image_ids, payload=FENCES)
        return {str(record.id): record.payload or {} for record in records}

    def _retrieve(
        self,
        image_ids: Collection[str],
        *,
        payload: Sequence[str] | None = None,
        vectors: list[str] | bool = False,
    ) -> list[models.Record]:
        points = [point_id(image_id) for image_id in image_ids]
        return self._points.retrieve("get", points, payload=payload, vectors=vectors)

    def get(
        self,
        image_ids: Collection[str],
        *,
        vectors: bool = False,
        features: bool = False,
        sight: Sight | None = None,
    ) -> dict[str, IndexedImage]:
        """Those of the images that are stored; see `VectorIndex.get`."""
        if sight is not None:
            return self._seen(list(image_ids), sight, vectors=vectors, features=features)
        wanted = vectors_to_read(self._spec, vectors=vectors, features=features)
        records = self._retrieve(image_ids, vectors=wanted)
        return known_images(((str(r.id), StoredPoint.of(r)) for r in records), image_ids)

    def _seen(
        self, image_ids: list[str], sight: Sight, *, vectors: bool, features: bool
    ) -> dict[str, IndexedImage]:
        if not image_ids:
            return {}
        records = self._points.matching(
            "get",
            seen(image_ids, sight),
            len(image_ids),
            # Whether an image is listed depends on its vector.
            vectors=vectors_to_read(self._spec, vectors=True, features=features),
        )
        points = ((str(record.id), StoredPoint.of(record)) for record in records)
        return seen_images(points, image_ids, sight, vectors=vectors)

    def search(self, request: SearchRequest) -> list[Hit]:
        """See `VectorIndex.search`."""
        nearest = partial(
            self._nearest,
            self._query(request.vector),
            visible_to(request),
            search_params(exact=request.exact),
        )
        return ranked_page(nearest, request.limit, settle_ties=request.settle_ties)

    def clusters_near(self, vector: NDArray[np.float32], limit: int) -> Nearby:
        """See `VectorIndex.clusters_near`."""
        asked = Asked(limit, CLUSTER)
        found = self._nearest(self._query(vector), listed(), search_params(exact=False), asked)
        return nearby(found)

    def _query(self, vector: NDArray[np.float32]) -> list[float]:
        checked: list[float] = checked_vector(
            vector, self._spec.dimensions, of="the query"
        ).tolist()
        return checked

    def _nearest(
        self,
        query: list[float],
        wanted: models.Filter,
        params: models.SearchParams,
        asked: Asked,
    ) -> list[ScoredPoint]:
        return self._points.nearest(query, wanted, params, asked)

    def earliest(self, cluster: str, tags: TagFilter, limit: int) -> list[IndexedImage]:
        """The listed images of a cluster that were there first; see `VectorIndex.earliest`."""
        asked = visible(tags, cluster=cluster)
        order = models.OrderBy(key="since", direction=models.Direction.ASC)
        records = self._points.matching("earliest", asked, limit, order=order)
        return list(shown_images(map(StoredPoint.of, records)))

    def scan(
        self, *, vectors: bool = False, features: bool = False, batch: int = 1_000
    ) -> Iterator[IndexedImage]:
        """Every stored image once, by point id; what is written meanwhile may or may not show."""
        wanted = vectors_to_read(self._spec, vectors=vectors, features=features)
        return images_of(self._all(None, vectors=wanted, batch=batch))

    def scan_decisions(self, *, batch: int = 1_000) -> Iterator[IndexedDecision]:
        """Every stored decision once, by point id."""
        return decisions_of(self._all(decided(), vectors=False, batch=batch))

    def _all(
        self, wanted: models.Filter | None, *, vectors: list[str] | bool, batch: int
    ) -> Iterator[StoredPoint]:
        offset: models.ExtendedPointId | None = None
        while True:
            records, offset = self._points.page(wanted, offset, batch, vectors=vectors)
            yield from map(StoredPoint.of, records)
            if offset is None:
                return

    def count(self, *, listed_only: bool = False) -> int:
        """How many images are stored, or only those that a search can return."""
        wanted = listed() if listed_only else any_image()
        return self._points.count(wanted)

    def purge(self, image_ids: Collection[str]) -> None:
        """Remove tombstones for good; what is not a tombstone (any more) stays."""
        if not image_ids:
            return
        ids = list(image_ids)
        self._points.delete("purge", where=tombstones(ids, decided_too=False))
        self._points.set("purge", EMPTY_IMAGE, where=tombstones(ids, decided_too=True))

    def flush(self) -> None:
        """Nothing to do: the server answers an upsert after it is in its write-ahead log."""

    def wait_optimised(self, timeout_s: float) -> bool:
        """See `VectorIndex.wait_optimised`; what the server put off (grey) is not waited for."""
        deadline = time.monotonic() + timeout_s
        while self._points.status() not in _IDLE:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK_S)
        return True

    def close(self) -> None:
        """Let go of the connections; repeated calls do nothing."""
        self._points.close()


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
        replication = self.prepare(name)
        points = Points(self.calls.share(), self.collection(name), replication)
        return QdrantVectorIndex(points, spec)
