"""The vector index on an engine of points: `VectorIndex`, whatever engine it is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sightline.engine.records import (
    GenerationSpec,
    Hit,
    IndexedDecision,
    IndexedImage,
    Likeness,
    SearchRequest,
    Sight,
    TagFilter,
)
from sightline.engine.vector_index.payload import FENCES, checked_vector, no_image, point_id
from sightline.engine.vector_index.point_store import PointStore
from sightline.engine.vector_index.ranking import (
    Asked,
    ScoredPoint,
    ranked_page,
)
from sightline.engine.vector_index.read_conditions import (
    IS_DECIDED,
    IS_IMAGE,
    IS_LISTED,
    seen,
    visible,
    visible_to,
)
from sightline.engine.vector_index.stored_points import (
    decisions_by_image,
    decisions_of,
    images_of,
    known_images,
    seen_images,
    shown_images,
    vectors_to_read,
)
from sightline.engine.vector_index.write_conditions import (
    IS_UNDECIDED_TOMBSTONE,
    decision_changes,
    decision_relocation,
    emptied_tombstones,
    relocation,
)
from sightline.engine.vector_index.writing import write_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PointIndex:
    """`VectorIndex` on the points of one generation, one point an image.

    Args:
        points: the engine's.
        spec: the model and geometry that the generation was made with.
    """

    def __init__(self, points: PointStore, spec: GenerationSpec) -> None:
        self._points = points
        self._spec = spec

    @property
    def spec(self) -> GenerationSpec:
        """The model and geometry that this generation was made with."""
        return self._spec

    def apply(self, images: Sequence[IndexedImage]) -> None:
        """See `VectorIndex.apply`."""
        written = write_images(
            images,
            self._points.upsert,
            self._payloads,
            spec=self._spec,
            batch=self._points.batch,
        )
        self._points.applied(written)

    def relocate(self, images: Sequence[IndexedImage]) -> None:
        """See `VectorIndex.relocate`."""
        for image in images:
            self._points.change(relocation(image))

    def moderate(self, decisions: Sequence[IndexedDecision]) -> None:
        """See `VectorIndex.moderate`."""
        for decision in decisions:
            self._points.insert(point_id(decision.image_id), no_image(decision))
            for change in decision_changes(decision):
                self._points.change(change)

    def relocate_decisions(self, decisions: Sequence[IndexedDecision]) -> None:
        """See `VectorIndex.relocate_decisions`."""
        for decision in decisions:
            self._points.change(decision_relocation(decision))

    def decisions(self, image_ids: Collection[str]) -> dict[str, IndexedDecision]:
        """See `VectorIndex.decisions`."""
        return decisions_by_image(self._payloads(image_ids).values())

    def _payloads(self, image_ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Fences and decisions as they are stored, by point."""
        ids = [point_id(image_id) for image_id in image_ids]
        found = self._points.retrieve(ids, fields=FENCES, vectors=False)
        return {name: point.payload for name, point in found}

    def get(
        self,
        image_ids: Collection[str],
        *,
        vectors: bool = False,
        features: bool = False,
        sight: Sight | None = None,
    ) -> dict[str, IndexedImage]:
        """See `VectorIndex.get`."""
        if sight is not None:
            return self._seen(list(image_ids), sight, vectors=vectors, features=features)
        ids = [point_id(image_id) for image_id in image_ids]
        wanted = vectors_to_read(self._spec, vectors=vectors, features=features)
        return known_images(self._points.retrieve(ids, vectors=wanted), image_ids)

    def _seen(
        self, image_ids: list[str], sight: Sight, *, vectors: bool, features: bool
    ) -> dict[str, IndexedImage]:
        if not image_ids:
            return {}
        # Whether an image is listed depends on its vector.
        wanted = vectors_to_read(self._spec, vectors=True, features=features)
        found = self._points.read(seen(image_ids, sight), len(image_ids), vectors=wanted)
        return seen_images(found, image_ids, sight, vectors=vectors)

    def search(self, request: SearchRequest) -> list[Hit]:
        """See `VectorIndex.search`."""
        query, wanted = self._checked(request.vector)[None], visible_to(request)

        def nearest(asked: Asked) -> Sequence[ScoredPoint]:
            return self._points.nearest(query, wanted, asked, exact=request.exact)[0]

        return ranked_page(nearest, request.limit, settle_ties=request.settle_ties)

    def clusters_near(
        self, pictures: Sequence[Likeness], *, bits: int, limit: int
    ) -> list[tuple[str, ...]]:
        """See `VectorIndex.clusters_near`."""
        return self._points.clusters_near(pictures, bits=bits, limit=limit)

    def _checked(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        return checked_vector(vector, self._spec.dimensions, of="the query")

    def earliest(self, cluster: str, tags: TagFilter, limit: int) -> list[IndexedImage]:
        """See `VectorIndex.earliest`."""
        found = self._points.read(visible(tags, cluster=cluster), limit, order_by="since")
        return list(shown_images(point for _, point in found))

    def scan(
        self, *, vectors: bool = False, features: bool = False, batch: int = 1_000
    ) -> Iterator[IndexedImage]:
        """See `VectorIndex.scan`: by point id; what is written meanwhile may or may not show."""
        wanted = vectors_to_read(self._spec, vectors=vectors, features=features)
        return images_of(self._points.scan(None, vectors=wanted, batch=batch))

    def scan_decisions(self, *, batch: int = 1_000) -> Iterator[IndexedDecision]:
        """See `VectorIndex.scan_decisions`."""
        return decisions_of(self._points.scan(IS_DECIDED, vectors=False, batch=batch))

    def count(self, *, listed_only: bool = False) -> int:
        """See `VectorIndex.count`."""
        return self._points.count(IS_LISTED if listed_only else IS_IMAGE)

    def purge(self, image_ids: Collection[str]) -> None:
        """See `VectorIndex.purge`: what is not a tombstone (any more) stays."""
        ids = [point_id(image_id) for image_id in image_ids]
        if ids:
            self._points.delete(ids, IS_UNDECIDED_TOMBSTONE)
            self._points.change(emptied_tombstones(ids))

    def flush(self) -> None:
        """See `VectorIndex.flush`."""
        self._points.flush()

    def wait_optimised(self, timeout_s: float) -> bool:
        """See `VectorIndex.wait_optimised`."""
        return self._points.wait_optimised(timeout_s)

    def close(self) -> None:
        """Let go of the engine; repeated calls do nothing."""
        self._points.close()
