"""New vectors in, the clusters of look-alikes that their pictures join out (docs/adr/0017).

The same look tells how far new pictures are from what is there (docs/metrics.md, drift).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sightline.engine.errors import Part
from sightline.engine.pictures.near_duplicates import cluster_of, hash_bits
from sightline.engine.ports import VectorIndex
from sightline.schemas.indexed import Lane
from sightline.stream_workers.indexing.context import StageContext

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NEIGHBOURS = 3
"""Look-alikes are the nearest of all; a few are enough to find the cluster that they are in."""


class Look(NamedTuple):
    """A picture as its look-alikes are looked for by."""

    vector: NDArray[np.float32]
    """(dimensions,), L2 norm 1."""
    perceptual_hash: str
    """64 hex digits."""
    content_sha256: str
    """The SHA-256 of the picture's bytes."""
    lane: Lane
    """The lane that the picture came on."""


class Clusters:
    """Looks for pictures' clusters among what is listed; safe from several threads.

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

    def of(self, looks: Sequence[Look]) -> list[str]:
        """Return of each picture the name of the cluster that it joins, or begins.

        Those that come together do not see each other. A flat one, whose hash says nothing, is not
        looked for.
        """
        asking = [n for n, look in enumerate(looks) if hash_bits(look.perceptual_hash)]
        near = dict(zip(asking, self._near([looks[n] for n in asking]), strict=True))
        return [
            cluster_of(look.perceptual_hash, look.content_sha256, near.get(n, ()), bits=self._bits)
            for n, look in enumerate(looks)
        ]

    def _near(self, looks: Sequence[Look]) -> list[tuple[str, ...]]:
        if not looks:
            return []
        vectors = np.stack([look.vector for look in looks])
        found = self._patience.until_it_works(
            Part.INDEX, lambda: self._index.clusters_near(vectors, _NEIGHBOURS)
        )
        for look, nearby in zip(looks, found, strict=True):
            if nearby.similarity is not None:
                similarity = self._metrics.nearest_similarity.labels(look.lane, self._model)
                similarity.observe(nearby.similarity)
        return [nearby.clusters for nearby in found]
