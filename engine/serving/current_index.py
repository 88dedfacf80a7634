"""The index that serves, whichever that is at the moment of each call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

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
from sightline.engine.serving.pair import ServingPair
from sightline.engine.serving.pairs import ServingPairs


class CurrentIndex:
    """A `VectorIndex` for who asks about images one call at a time: status, intake, readiness.

    A search must not use it: between two calls another generation may come to serve.
    """

    def __init__(self, pairs: ServingPairs) -> None:
        self._taken: Callable[[], AbstractContextManager[ServingPair]] = pairs.taken

    @property
    def spec(self) -> GenerationSpec:
        """What made the generation that serves now."""
        with self._taken() as pair:
            return pair.spec

    def apply(self, images: Sequence[IndexedImage]) -> None:
        """See `VectorIndex.apply`."""
        with self._taken() as pair:
            pair.index.apply(images)

    def relocate(self, images: Sequence[IndexedImage]) -> None:
        """See `VectorIndex.relocate`."""
        with self._taken() as pair:
            pair.index.relocate(images)

    def moderate(self, decisions: Sequence[IndexedDecision]) -> None:
        """See `VectorIndex.moderate`."""
        with self._taken() as pair:
            pair.index.moderate(decisions)

    def relocate_decisions(self, decisions: Sequence[IndexedDecision]) -> None:
        """See `VectorIndex.relocate_decisions`."""
        with self._taken() as pair:
            pair.index.relocate_decisions(decisions)

    def decisions(self, image_ids: Collection[str]) -> dict[str, IndexedDecision]:
        """See `VectorIndex.decisions`."""
        with self._taken() as pair:
            return pair.index.decisions(image_ids)

    def scan_decisions(self, *, batch: int = 1_000) -> Iterator[IndexedDecision]:
        """See `VectorIndex.scan_decisions`."""
        with self._taken() as pair:
            yield from pair.index.scan_decisions(batch=batch)

    def get(
        self,
        image_ids: Collection[str],
        *,
        vectors: bool = False,
        features: bool = False,
        sight: Sight | None = None,
    ) -> dict[str, IndexedImage]:
        """See `VectorIndex.get`."""
        with self._taken() as pair:
            return pair.index.get(image_ids, vectors=vectors, features=features, sight=sight)

    def search(self, request: SearchRequest) -> list[Hit]:
        """See `VectorIndex.search`."""
        with self._taken() as pair:
            return pair.index.search(request)

    def clusters_near(
        self, pictures: Sequence[Likeness], *, bits: int, limit: int
    ) -> list[tuple[str, ...]]:
        """See `VectorIndex.clusters_near`."""
        with self._taken() as pair:
            return pair.index.clusters_near(pictures, bits=bits, limit=limit)

    def earliest(self, cluster: str, tags: TagFilter, limit: int) -> list[IndexedImage]:
        """See `VectorIndex.earliest`."""
        with self._taken() as pair:
            return pair.index.earliest(cluster, tags, limit)

    def scan(
        self, *, vectors: bool = False, features: bool = False, batch: int = 1_000
    ) -> Iterator[IndexedImage]:
        """See `VectorIndex.scan`; of the generation that serves when the first one is asked for."""
        with self._taken() as pair:
            yield from pair.index.scan(vectors=vectors, features=features, batch=batch)

    def count(self, *, listed_only: bool = False) -> int:
        """See `VectorIndex.count`."""
        with self._taken() as pair:
            return pair.index.count(listed_only=listed_only)

    def purge(self, image_ids: Collection[str]) -> None:
        """See `VectorIndex.purge`."""
        with self._taken() as pair:
            pair.index.purge(image_ids)

    def flush(self) -> None:
        """See `VectorIndex.flush`."""
        with self._taken() as pair:
            pair.index.flush()

    def wait_optimised(self, timeout_s: float) -> bool:
        """See `VectorIndex.wait_optimised`."""
        with self._taken() as pair:
            return pair.index.wait_optimised(timeout_s)

    def close(self) -> None:
        """Nothing to let go of: whoever made the pairs closes them."""


class IndexOfPair(CurrentIndex):
    """The index of one pair, for who asks once more after a search of it has ended.

    Every call raises `PartUnavailable` once the pair was replaced and is closed.
    """

    def __init__(self, pairs: ServingPairs, pair: ServingPair) -> None:
        super().__init__(pairs)
        self._taken = partial(pairs.again, pair)
