"""The vector index in this process, on the embedded engine (`qdrant-edge-py` 0.9.0)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qdrant_edge as edge

from sightline.engine.errors import NotFound
from sightline.engine.private_files import make_private_folders
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
from sightline.engine.vector_index import graph
from sightline.engine.vector_index.edge.directory import (
    OwnedDirectory,
    read_current,
    read_json,
    sync_tree,
    write_atomically,
    write_current,
)
from sightline.engine.vector_index.edge.live_shard import EdgeStore
from sightline.engine.vector_index.edge.optimiser import Optimiser
from sightline.engine.vector_index.edge.translation import (
    among,
    any_image,
    create_shard,
    decide,
    decided,
    forget_tombstones,
    insert,
    insert_undecided,
    is_at,
    listed,
    relocate_decision,
    seen,
    upsert,
    visible,
    visible_to,
)
from sightline.engine.vector_index.generations import check_name, open_serving
from sightline.engine.vector_index.payload import (
    FENCES,
    checked_vector,
    point_id,
    spec_from_json,
    spec_to_json,
    winner_payload,
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

_BATCH = 16
"""Points to one operation. The engine holds the interpreter's lock while it writes, so a search
waits for a whole one: 10 ms at 16, 25 and more at 64, at the same cost per point (measured)."""
_SPEC = "spec.json"


class EdgeVectorIndex:
    """`VectorIndex` on a directory that this process owns alone.

    A write is searchable when `apply` returns, durable when `flush` returns. The graph is built
    in a child process after every `optimise_after` unindexed points; searches before that scan.
    """

    def __init__(self, store: EdgeStore, spec: GenerationSpec, *, optimise_after: int) -> None:
        self._store = store
        self._spec = spec
        self._optimiser = Optimiser(store, optimise_after=optimise_after)
        self._optimiser.wrote(store.unindexed())

    @classmethod
    def open(
        cls, directory: Path, spec: GenerationSpec, settings: IndexSettings
    ) -> EdgeVectorIndex:
        """The generation that serves in `directory`, made from `spec` where there is none.

        Raises:
            GenerationMismatch: another model made it.
            IndexOwned: another process has it open.
            DiskFull: there is too little room to work.
        """
        return open_serving(EdgeGenerations(directory, settings), spec)

    @property
    def spec(self) -> GenerationSpec:
        """The model and geometry that this generation was made with."""
        return self._spec

    def apply(self, images: Sequence[IndexedImage]) -> None:
        """Write each image iff its fence is above the stored one; see `VectorIndex.apply`.

        Raises:
            ValueError: as `VectorIndex.apply`; nothing was written.
            DiskFull: nothing was written.
            PartUnavailable: it may be half applied; repeat it whole.
        """
        written = write_images(
            images,
            self._write,
            self._payloads,
            spec=self._spec,
            batch=_BATCH,
        )
        self._optimiser.wrote(written)

    def _write(self, batch: Sequence[IndexedImage]) -> None:
        """Insert or replace; an insertion that another writer forestalled changes nothing."""
        known = self._known(batch)
        for write, images in (
            (insert, [image for image in batch if image.image_id not in known]),
            (upsert, [image for image in batch if image.image_id in known]),
        ):
            if images:
                points = [point_id(image.image_id) for image in images]
                self._store.write(write(images, self._spec), points)

    def _known(self, images: Sequence[IndexedImage]) -> set[str]:
        """Which of the images have a point, even one that holds a decision only."""
        points: list[edge.PointId] = [point_id(image.image_id) for image in images]
        with self._store.reading("get") as shard:
            records = shard.retrieve(points, with_payload=False, with_vector=False)
        found = {str(record.id) for record in records}
        return {image.image_id for image in images if point_id(image.image_id) in found}

    def moderate(self, decisions: Sequence[IndexedDecision]) -> None:
        """Write each decision iff it is above the stored one; see `VectorIndex.moderate`."""
        for decision in decisions:
            points = [point_id(decision.image_id)]
            self._store.write(insert_undecided(decision), points)
            for operation in decide(decision):
                self._store.write(operation, points)

    def relocate_decisions(self, decisions: Sequence[IndexedDecision]) -> None:
        """Store only where the winning decision lies now, iff the fence is equal."""
        for decision in decisions:
            self._store.write(relocate_decision(decision), [point_id(decision.image_id)])

    def decisions(self, image_ids: Collection[str]) -> dict[str, IndexedDecision]:
        """The stored decisions, about known images and others."""
        return decisions_by_image(self._payloads(image_ids).values())

    def _payloads(self, image_ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Fences and decisions as they are stored, by point."""
        points: list[edge.PointId] = [point_id(image_id) for image_id in image_ids]
        with self._store.reading("get") as shard:
            records = shard.retrieve(points, with_payload=list(FENCES), with_vector=False)
        return {str(record.id): record.payload or {} for record in records}

    def relocate(self, images: Sequence[IndexedImage]) -> None:
        """Store only where the winning event lies now, iff the fence is equal."""
        for image in images:
            operation = edge.UpdateOperation.set_payload_by_filter(
                is_at(image), {"winner": winner_payload(image)}
            )
            self._store.write(operation, [point_id(image.image_id)])

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
        points: list[edge.PointId] = [point_id(image_id) for image_id in image_ids]
        wanted = vectors_to_read(self._spec, vectors=vectors, features=features)
        with self._store.reading("get") as shard:
            records = shard.retrieve(points, with_payload=True, with_vector=wanted)
        return known_images(((str(r.id), StoredPoint.of(r)) for r in records), image_ids)

    def _seen(
        self, image_ids: list[str], sight: Sight, *, vectors: bool, features: bool
    ) -> dict[str, IndexedImage]:
        if not image_ids:
            return {}
        asked = edge.ScrollRequest(
            filter=seen(image_ids, sight),
            limit=len(image_ids),
            with_payload=True,
            # Whether an image is listed depends on its vector.
            with_vector=vectors_to_read(self._spec, vectors=True, features=features),
        )
        with self._store.reading("get") as shard:
            records, _ = shard.scroll(asked)
        points = ((str(record.id), StoredPoint.of(record)) for record in records)
        return seen_images(points, image_ids, sight, vectors=vectors)

    def search(self, request: SearchRequest) -> list[Hit]:
        """See `VectorIndex.search`."""
        nearest = partial(
            self._nearest,
            self._query(request.vector),
            visible_to(request),
            _search_params(exact=request.exact),
        )
        return ranked_page(nearest, request.limit, settle_ties=request.settle_ties)

    def clusters_near(self, vector: NDArray[np.float32], limit: int) -> Nearby:
        """See `VectorIndex.clusters_near`."""
        asked = Asked(limit, CLUSTER)
        found = self._nearest(self._query(vector), listed(), _search_params(exact=False), asked)
        return nearby(found)

    def _query(self, vector: NDArray[np.float32]) -> edge.Query:
        checked = checked_vector(vector, self._spec.dimensions, of="the query")
        return edge.Query.Nearest(checked.tolist())

    def _nearest(
        self, query: edge.Query, wanted: edge.Filter, params: edge.SearchParams, asked: Asked
    ) -> list[ScoredPoint]:
        request = edge.QueryRequest(
            limit=asked.limit,
            query=query,
            filter=among(wanted, asked.points),
            params=params,
            with_payload=True if asked.fields is None else list(asked.fields),
        )
        with self._store.reading("search") as shard:
            found = shard.query(request)
        return [ScoredPoint(str(p.id), p.score, p.payload or {}) for p in found]

    def earliest(self, cluster: str, tags: TagFilter, limit: int) -> list[IndexedImage]:
        """The listed images of a cluster that were there first; see `VectorIndex.earliest`."""
        asked = edge.ScrollRequest(
            limit=limit,
            filter=visible(tags, cluster=cluster),
            with_payload=True,
            order_by=edge.OrderBy("since", edge.Direction.Asc),
        )
        with self._store.reading("earliest") as shard:
            records, _ = shard.scroll(asked)
        return list(shown_images(map(StoredPoint.of, records)))

    def scan(
        self, *, vectors: bool = False, features: bool = False, batch: int = 1_000
    ) -> Iterator[IndexedImage]:
        """Every stored image once, by point id; what is written meanwhile may or may not show."""
        wanted = vectors_to_read(self._spec, vectors=vectors, features=features)
        return images_of(self._scroll(None, vectors=wanted, batch=batch))

    def scan_decisions(self, *, batch: int = 1_000) -> Iterator[IndexedDecision]:
        """Every stored decision once, by point id."""
        return decisions_of(self._scroll(decided(), vectors=False, batch=batch))

    def _scroll(
        self, wanted: edge.Filter | None, *, vectors: list[str] | bool, batch: int
    ) -> Iterator[StoredPoint]:
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

    def count(self, *, listed_only: bool = False) -> int:
        """How many images are stored, or only those that a search can return."""
        wanted = listed() if listed_only else any_image()
        with self._store.reading("count") as shard:
            return shard.count(edge.CountRequest(exact=True, filter=wanted))

    def purge(self, image_ids: Collection[str]) -> None:
        """Remove tombstones for good; what is not a tombstone (any more) stays."""
        points = [point_id(image_id) for image_id in image_ids]
        if not points:
            return
        for operation in forget_tombstones(points):
            self._store.write(operation, points)

    def flush(self) -> None:
        """Return when everything applied before this call survives a crash."""
        self._store.flush()

    def wait_optimised(self, timeout_s: float) -> bool:
        """Whether the optimiser became idle in time; before that, order may still change."""
        return self._optimiser.wait_idle(timeout_s)

    def unindexed(self) -> int:
        """Vectors that are scanned, not yet found through the graph; for metrics."""
        return self._store.unindexed()

    def close(self) -> None:
        """Stop the optimiser, flush, let go of the directory; repeated calls do nothing."""
        self._optimiser.stop()
        self._store.close()


def _search_params(*, exact: bool) -> edge.SearchParams:
    if exact:
        return edge.SearchParams(
            exact=True, quantization=edge.QuantizationSearchParams(ignore=True)
        )
    rescoring = edge.QuantizationSearchParams(rescore=True, oversampling=graph.OVERSAMPLING)
    return edge.SearchParams(hnsw_ef=graph.SEARCH_BREADTH, quantization=rescoring)


class EdgeGenerations:
    """The generations under one directory; see `generations.Generations`."""

    def __init__(self, directory: Path, settings: IndexSettings) -> None:
        self._directory = directory
        self._settings = settings

    def current(self) -> str | None:
        """Name of the generation that serves; None before the first."""
        return read_current(self._directory)

    def names(self) -> list[str]:
        """Lists the names of the generations that are on the disk, sorted."""
        return sorted(path.parent.name for path in self._directory.glob(f"*/{_SPEC}"))

    def spec(self, name: str) -> GenerationSpec | None:
        """What the generation records; None if there is no such one."""
        stored = read_json(self._directory / name / _SPEC)
        return None if stored is None else spec_from_json(stored)

    def create(self, spec: GenerationSpec) -> None:
        """Make it, empty; what is already there stays."""
        path = self._directory / check_name(spec.name)
        make_private_folders(path)
        owned = OwnedDirectory(path, reserve_bytes=self._settings.reserve_bytes)
        try:
            owned.check_space()
            if owned.live() is None:
                shard = owned.next_shard()
                create_shard(shard, spec)
                sync_tree(shard)
                owned.make_live(shard)
            if self.spec(spec.name) is None:
                write_atomically(path / _SPEC, _to_text(spec))
        finally:
            owned.release()

    def open(self, name: str) -> EdgeVectorIndex:
        """Open an existing one.

        Raises:
            NotFound: there is no such generation.
            IndexOwned: another process has it open.
            DiskFull: there is too little room to work.
        """
        spec = self.spec(name)
        if spec is None:
            raise NotFound(f"index: no generation {name!r} under {self._directory}")
        owned = OwnedDirectory(self._directory / name, reserve_bytes=self._settings.reserve_bytes)
        try:
            owned.check_space()
            store = EdgeStore(owned, _live_shard(owned))
        except BaseException:
            owned.release()
            raise
        return EdgeVectorIndex(store, spec, optimise_after=self._settings.optimise_after)

    def switch(self, name: str) -> None:
        """Let this one serve from now on, atomically; processes see it at their next start."""
        if self.spec(name) is None:
            raise NotFound(f"index: no generation {name!r} under {self._directory}")
        write_current(self._directory, name)

    def remove(self, name: str) -> None:
        """Delete one that neither serves nor is open; an unknown name is fine."""
        path = self._directory / check_name(name)
        if not path.is_dir():
            return
        owned = OwnedDirectory(path, reserve_bytes=1)
        try:
            shutil.rmtree(path)
        finally:
            owned.release()

    def close(self) -> None:
        """Nothing to let go of: each opened generation owns its directory itself."""


def _live_shard(owned: OwnedDirectory) -> Path:
    live = owned.live()
    if live is None:
        raise NotFound(f"index: {owned.path} has no shard; it was never finished")
    return live


def _to_text(spec: GenerationSpec) -> str:
    return json.dumps(spec_to_json(spec), indent=2)
