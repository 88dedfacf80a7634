"""The clusters that pictures join or begin when they are written, decided together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from sightline.engine.records import Likeness
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.schemas.fields import Visibility
from sightline.stream_workers.indexing.clusters import Clusters
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.task import Judged, PictureFacts, Rejection
from tests.indexed_images import SPEC, image, unit_vector
from tests.unit.test_worker_stages import Bench
from tests.worker_world import public

FLAT, ONE, OTHER, THIRD = "0" * 64, "0f" * 32, "f0" * 32, "3c" * 32
NEAR_ONE, NEAR_THIRD = ONE[:-1] + "e", THIRD[:-1] + "d"


class CountingIndex(MemoryVectorIndex):
    """Counts how many pictures it is asked for at a time."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.asked: list[int] = []

    def clusters_near(
        self, pictures: Sequence[Likeness], *, bits: int, limit: int
    ) -> list[tuple[str, ...]]:
        """See `VectorIndex.clusters_near`."""
        self.asked.append(len(pictures))
        return super().clusters_near(pictures, bits=bits, limit=limit)


class Shelf:
    """Clusters of an index with two, and pictures that are to be written there."""

    def __init__(self) -> None:
        self.bench, self.index = Bench(), CountingIndex()
        patience, clock = self.bench.patience, self.bench.clock
        context = StageContext(patience=patience, clock=clock, metrics=self.bench.metrics)
        self._clusters = Clusters(self.index, bits=40, context=context)
        for n, cluster in enumerate((ONE, OTHER)):
            self.index.apply([replace(image(f"i{n}", vector=unit_vector(n)), cluster=cluster)])

    def picture(
        self, perceptual_hash: str, seed: int, *, cluster: str | None = None, private: bool = False
    ) -> Judged:
        """Make a picture by its hash, with the vector of a seed; its bytes are its own."""
        state = public(f"p{seed}", 1, b"x")
        if private:
            state = state.model_copy(update={"visibility": Visibility.PRIVATE})
        facts = PictureFacts(
            content_sha256=f"sha-{seed}",
            perceptual_hash=perceptual_hash,
            width=1,
            height=1,
            cluster=cluster,
            since=None,
            vector=unit_vector(seed),
            features=None,
        )
        return Judged(self.bench.task(state), facts)

    def decide(self, *batch: Judged) -> list[str | None]:
        """Return the cluster of each picture, None of what is none."""
        decided = [known.verdict for known in self._clusters.decide(batch)]
        return [each.cluster if isinstance(each, PictureFacts) else None for each in decided]


@pytest.fixture
def shelf() -> Shelf:
    """An index with two clusters."""
    return Shelf()


def test_what_comes_together_is_looked_for_at_once_and_a_flat_picture_not_at_all(
    shelf: Shelf,
) -> None:
    """Each joins its own: the flat one in their midst shifts none."""
    one, flat = shelf.picture(NEAR_ONE, 0), shelf.picture(FLAT, 2)
    other, new = shelf.picture(OTHER, 1), shelf.picture(THIRD, 3)
    assert shelf.decide(one, flat, other, new) == [ONE, "flat-sha-2", OTHER, THIRD]
    assert shelf.decide(flat) == ["flat-sha-2"]
    assert shelf.index.asked == [3]


def test_look_alikes_that_come_together_share_a_cluster(shelf: Shelf) -> None:
    """The first that is to be listed begins it; a private one draws no others to it."""
    first, second = shelf.picture(THIRD, 3), shelf.picture(NEAR_THIRD, 4)
    assert shelf.decide(first, second) == [THIRD, THIRD]
    assert shelf.decide(second, first) == [NEAR_THIRD, NEAR_THIRD]
    hidden = shelf.picture(NEAR_THIRD, 5, private=True)
    assert shelf.decide(hidden, first, hidden) == [NEAR_THIRD, THIRD, THIRD]


def test_what_is_decided_stays_and_what_is_no_picture_has_no_cluster(shelf: Shelf) -> None:
    """Neither is looked for."""
    decided = shelf.picture(ONE, 0, cluster=OTHER)
    rejected = decided._replace(verdict=Rejection("not_an_image", "no"))
    assert shelf.decide(decided, rejected, decided._replace(verdict=None)) == [OTHER, None, None]
    assert shelf.index.asked == []
