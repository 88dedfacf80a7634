"""The vector index in memory: exact search over a dictionary, and a crash that can be tried."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sightline.engine.errors import Part, PartUnavailable
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
from sightline.engine.vector_index.generations import Generations, open_serving
from sightline.engine.vector_index.memory.held import Decided, HeldGeneration, Images
from sightline.engine.vector_index.memory.matching import (
    asked_for,
    has_tags,
    page_order,
    without_unasked,
)
from sightline.engine.vector_index.payload import (
    check_vectors,
    checked_vector,
    highest,
)
from sightline.schemas.images import ImageDeleted

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MemoryVectorIndex:
    """A `VectorIndex` that scans what it holds; `crash` forgets what was not flushed.

    Args:
        generation: what it opens: a new one from its spec, or one that others have open as well.
    """

    def __init__(self, generation: HeldGeneration | GenerationSpec) -> None:
        opened = (
            generation if isinstance(generation, HeldGeneration) else HeldGeneration(generation)
        )
        self.generation = opened
        """What all who have it open share; changes made there pass by every fence and check."""
        self._closed = False

    @classmethod
    def open(
        cls, generations: Generations[MemoryVectorIndex], spec: GenerationSpec
    ) -> MemoryVectorIndex:
        """The generation that serves, made from `spec` where there is none.

        Raises:
            GenerationMismatch: another model made it.
        """
        return open_serving(generations, spec)

    @property
    def spec(self) -> GenerationSpec:
        """The model and geometry that this generation was made with."""
        return self.generation.spec

    def apply(self, images: Sequence[IndexedImage]) -> None:
        """See `VectorIndex.apply`.

        Raises:
            ValueError: as `VectorIndex.apply`; nothing was written.
        """
        winners = highest(images)
        check_vectors(winners, self.spec)
        with self._open() as held:
            for image in winners:
                stored = held.get(image.image_id)
                if stored is None or stored.fence < image.fence:
                    held[image.image_id] = replace(image, decision=None)

    def relocate(self, images: Sequence[IndexedImage]) -> None:
        """See `VectorIndex.relocate`."""
        with self._open() as held:
            for image in images:
                stored = held.get(image.image_id)
                if stored is not None and stored.fence == image.fence:
                    held[image.image_id] = replace(stored, winner=image.winner)

    def moderate(self, decisions: Sequence[IndexedDecision]) -> None:
        """See `VectorIndex.moderate`."""
        with self._open():
            for decision in decisions:
                stored = self._decided.get(decision.image_id)
                if stored is None or stored.fence < decision.fence:
                    self._decided[decision.image_id] = decision

    def relocate_decisions(self, decisions: Sequence[IndexedDecision]) -> None:
        """See `VectorIndex.relocate_decisions`."""
        with self._open():
            for decision in decisions:
                stored = self._decided.get(decision.image_id)
                if stored is not None and stored.fence == decision.fence:
                    self._decided[decision.image_id] = replace(
                        stored, winner=decision.winner, appended=decision.appended
                    )

    def decisions(self, image_ids: Collection[str]) -> Decided:
        """See `VectorIndex.decisions`."""
        with self._open():
            return {name: self._decided[name] for name in image_ids if name in self._decided}

    def scan_decisions(self, *, batch: int = 1_000) -> Iterator[IndexedDecision]:
        """See `VectorIndex.scan_decisions`."""
        del batch
        with self._open():
            decided = list(self._decided.values())
        yield from decided

    def get(
        self,
        image_ids: Collection[str],
        *,
        vectors: bool = False,
        features: bool = False,
        sight: Sight | None = None,
    ) -> Images:
        """See `VectorIndex.get`."""
        with self._open() as held:
            stored = [self._whole(held[image_id]) for image_id in image_ids if image_id in held]
        found = [image for image in stored if sight is None or sight.shows(image)]
        return {
            one.image_id: without_unasked(one, vectors=vectors, features=features) for one in found
        }

    def search(self, request: SearchRequest) -> list[Hit]:
        """See `VectorIndex.search`; always exact."""
        vector = checked_vector(request.vector, self.spec.dimensions, of="the query")
        with self._open() as held:
            images = map(self._whole, held.values())
            listed = [image for image in images if asked_for(image, request)]
        hits = [
            Hit(image=image, score=float(np.dot(image.vector, vector)))
            for image in listed
            if image.vector is not None
        ]
        page = sorted(hits, key=page_order)[: request.limit]
        return [Hit(image=without_unasked(hit.image), score=hit.score) for hit in page]

    def clusters_near(
        self, pictures: Sequence[Likeness], *, bits: int, limit: int
    ) -> list[tuple[str, ...]]:
        """See `VectorIndex.clusters_near`."""
        del bits
        return [self._near(picture.vector, limit) for picture in pictures]

    def _near(self, vector: NDArray[np.float32], limit: int) -> tuple[str, ...]:
        hits = self.search(SearchRequest(vector=vector, limit=limit))
        named = (hit.image.cluster for hit in hits)
        return tuple(dict.fromkeys(cluster for cluster in named if cluster is not None))

    def earliest(self, cluster: str, tags: TagFilter, limit: int) -> list[IndexedImage]:
        """See `VectorIndex.earliest`."""
        with self._open() as held:
            known = list(map(self._whole, held.values()))
        found = [
            image
            for image in known
            if image.cluster == cluster
            and image.since is not None
            and image.listed
            and has_tags(set(image.state.tags), tags)
        ]
        first = sorted(found, key=lambda image: (image.since, image.image_id))[:limit]
        return [without_unasked(image) for image in first]

    def scan(
        self, *, vectors: bool = False, features: bool = False, batch: int = 1_000
    ) -> Iterator[IndexedImage]:
        """See `VectorIndex.scan`; what is there when the first image is asked for."""
        del batch
        with self._open() as held:
            images = list(map(self._whole, held.values()))
        for image in images:
            yield without_unasked(image, vectors=vectors, features=features)

    def count(self, *, listed_only: bool = False) -> int:
        """See `VectorIndex.count`."""
        with self._open() as held:
            if not listed_only:
                return len(held)
            return sum(self._whole(one).listed for one in held.values())

    def purge(self, image_ids: Collection[str]) -> None:
        """See `VectorIndex.purge`; what is not a tombstone (any more) stays."""
        with self._open() as held:
            for image_id in _tombstones(held, image_ids):
                del held[image_id]

    def flush(self) -> None:
        """See `VectorIndex.flush`."""
        with self._open() as held:
            self.generation.durable = dict(held), dict(self._decided)

    def wait_optimised(self, timeout_s: float) -> bool:
        """See `VectorIndex.wait_optimised`; there is no graph."""
        del timeout_s
        return True

    def crash(self) -> None:
        """Come back with what was flushed, as after the end of a process."""
        with self.generation.lock:
            images, decided = self.generation.durable
            self.generation.images, self.generation.decided = dict(images), dict(decided)

    def close(self) -> None:
        """See `VectorIndex.close`."""
        if not self._closed:
            self.flush()
            self._closed = True

    @property
    def _decided(self) -> Decided:
        return self.generation.decided

    def _whole(self, image: IndexedImage) -> IndexedImage:
        decision = self._decided.get(image.image_id)
        return image if decision is None else replace(image, decision=decision)

    @contextmanager
    def _open(self) -> Iterator[Images]:
        """The images, while nobody else reads or writes them."""
        if self._closed:
            raise PartUnavailable(Part.INDEX, "this index is closed")
        with self.generation.lock:
            yield self.generation.images


def _tombstones(held: Images, image_ids: Iterable[str]) -> list[str]:
    found = [held[image_id] for image_id in set(image_ids) if image_id in held]
    return [image.image_id for image in found if isinstance(image.state, ImageDeleted)]
