"""The clusters that pictures join or begin, looked for together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prometheus_client import CollectorRegistry

from sightline.engine.clock import ManualClock
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.records import Likeness
from sightline.engine.settings import WorkerSettings
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.retries import Patience
from sightline.stream_workers.indexing.clusters import Clusters, Look
from sightline.stream_workers.indexing.context import StageContext
from tests.indexed_images import SPEC, image, unit_vector

FLAT, ONE, OTHER = "0" * 64, "0f" * 32, "f0" * 32


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


def test_what_comes_together_is_looked_for_at_once_and_a_flat_picture_not_at_all() -> None:
    """Each joins its own: the flat one in their midst shifts none."""
    metrics, clock, index = Metrics(CollectorRegistry()), ManualClock(), CountingIndex()
    patience = Patience(WorkerSettings(), Health(clock), metrics)
    context = StageContext(patience=patience, clock=clock, metrics=metrics)
    clusters = Clusters(index, bits=40, context=context)
    for n, cluster in enumerate((ONE, OTHER)):
        index.apply([replace(image(f"i{n}", vector=unit_vector(n)), cluster=cluster)])
    near_one = ONE[:-1] + "e"
    looks = [
        Look(Likeness(unit_vector(0), near_one), "sha-a", Lane.LIVE),
        Look(Likeness(unit_vector(2), FLAT), "sha-b", Lane.LIVE),
        Look(Likeness(unit_vector(1), OTHER), "sha-c", Lane.BACKFILL),
        Look(Likeness(unit_vector(3), "3c" * 32), "sha-d", Lane.LIVE),
    ]
    assert clusters.of(looks) == [ONE, "flat-sha-b", OTHER, "3c" * 32]
    assert clusters.of(looks[1:2]) == ["flat-sha-b"]
    assert index.asked == [3]
