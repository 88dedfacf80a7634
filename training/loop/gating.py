"""What people clicked in, the gate that leaves pictures unlike all of it in their old places out.

How familiar a picture is says the old space, by centroids of what was clicked: 128 rows in a head's
file, and one small product more for each picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.projections import (
    FamiliarityGate,
    Projection,
    project_all,
    unit_rows,
)
from sightline.training.datasets.clusters import k_means

Floats = NDArray[np.float32]
CENTROIDS = 128
"""They are as good as a thousand of the pictures themselves (docs/adr/0032-familiarity.md)."""
EACH = 8
"""So many clicked pictures to a centroid where there are fewer of them."""
STEEPNESS, UNFAMILIAR = 20.0, 0.05
"""How the sigmoid rises, and the part of the clicked pictures that lies below its middle."""


def gate_of(start: Projection, clicked: Floats, *, seed: int) -> FamiliarityGate:
    """The gate of a head; equal arguments give equal gates on one machine.

    Args:
        start: (f,) mean and (f, d) matrix of the old space.
        clicked: (n, f) features of what people asked by or preferred, n at least 1.
        seed: of the centroids.
    """
    vectors = unit_rows(project_all(start, clicked))
    count = min(CENTROIDS, max(1, len(vectors) // EACH))
    which = np.unique(k_means(vectors, count, seed=seed), return_inverse=True)[1].ravel()
    sums = np.zeros((which.max() + 1, vectors.shape[1]), np.float32)
    np.add.at(sums, which, vectors)
    centroids = unit_rows(sums)
    own = np.quantile(_familiar(vectors, which, sums, centroids), UNFAMILIAR)
    return FamiliarityGate(start.matrix, centroids, STEEPNESS, float(np.float32(own)))


def _familiar(vectors: Floats, which: NDArray[np.int64], sums: Floats, centroids: Floats) -> Floats:
    """(n,) how familiar each clicked picture would be if it had not been clicked itself."""
    cosines = vectors @ centroids.T
    left = unit_rows(sums[which] - vectors)
    cosines[np.arange(len(vectors)), which] = np.einsum("nd,nd->n", vectors, left)
    familiar: Floats = cosines.max(axis=1)
    return familiar
