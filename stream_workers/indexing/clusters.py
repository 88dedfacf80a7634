"""A new vector in, the cluster of look-alikes that its picture joins out (docs/adr/0017).

The same look tells how far new pictures are from what is there (docs/metrics.md, drift).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightline.engine.errors import Part
from sightline.engine.pictures.near_duplicates import cluster_of
from sightline.engine.ports import VectorIndex
from sightline.schemas.indexed import Lane
from sightline.stream_workers.indexing.context import StageContext

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NEIGHBOURS = 3
"""Look-alikes are the nearest of all; a few are enough to find the cluster that they are in."""


class Clusters:
    """Looks for a picture's cluster among what is listed; safe from several threads.

    Two look-alikes that are embedded at the same moment may begin a cluster each. That costs a
    search nothing but a comparison: it compares the hashes of what it shows anyway.

    Args:
        bits: of 256, up to which two pictures look the same.
        context: its metrics are told how near the nearest listed image is.
    """

    def __init__(self, index: VectorIndex, *, bits: int, context: StageContext) -> None:
        self._index = index
        self._bits = bits
        self._patience = context.patience
        self._metrics = context.metrics
        self._model = index.spec.model_digest

    def of(
        self,
        vector: NDArray[np.float32],
        perceptual_hash: str,
        content_sha256: str,
        *,
        lane: Lane,
    ) -> str:
        """Return the name of the cluster that a picture joins, or begins.

        Args:
            vector: (dimensions,), L2 norm 1.
            perceptual_hash: 64 hex digits.
            content_sha256: of the picture's bytes.
            lane: that the picture came on.
        """

        def near() -> tuple[str, ...]:
            found = self._patience.until_it_works(
                Part.INDEX, lambda: self._index.clusters_near(vector, _NEIGHBOURS)
            )
            if found.similarity is not None:
                similarity = self._metrics.nearest_similarity.labels(lane, self._model)
                similarity.observe(found.similarity)
            return found.clusters

        return cluster_of(perceptual_hash, content_sha256, near, bits=self._bits)
