"""Pairs of a projection's vectors in, the projection that evens out how clicked pairs differ.

Relevant component analysis: N. Shental, T. Hertz, D. Weinshall, M. Pavel, "Adjustment Learning and
Relevant Component Analysis" (ECCV 2002); A. Bar-Hillel et al., "Learning a Mahalanobis Metric from
Equivalence Constraints" (JMLR 6, 2005). Directions in which an anchor and what was preferred for it
differ much say nothing of relevance, and are shrunk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.projections import Projection

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
_BLOCK = 8_192
"""Pairs that are subtracted at a time, so that memory does not grow with the clicks."""


def whitened(
    start: Projection,
    vectors: Floats,
    anchor: NDArray[np.integer],
    positive: NDArray[np.integer],
    weight: Floats,
) -> Floats:
    """The start's matrix times U (v + mean v)^-1/2 Uᵀ, at the start's Frobenius norm.

    U and v are eigenvectors and eigenvalues of the pairs' scatter. The mean is the ridge: it bounds
    what few clicks can do in a direction in which they happen not to differ.

    Args:
        start: (f,) mean and (f, d) matrix.
        vectors: (n, d) of pictures, projected by the start.
        anchor: (p,) rows of `vectors`, p at least 1.
        positive: (p,) rows of `vectors`.
        weight: (p,) above 0.

    Returns:
        (f, d); the start's own where no pair differs.
    """
    values, directions = np.linalg.eigh(scatter(vectors, anchor, positive, weight))
    values = np.maximum(values, 0.0)
    if not values.any():
        return start.matrix
    matrix = start.matrix.astype(np.float64)
    scale = (values + values.mean()) ** -0.5
    turned: Doubles = matrix @ (directions * scale) @ directions.T
    turned *= np.linalg.norm(matrix) / np.linalg.norm(turned)
    return np.ascontiguousarray(turned, dtype=np.float32)


def scatter(
    vectors: Floats,
    anchor: NDArray[np.integer],
    positive: NDArray[np.integer],
    weight: Floats,
) -> Doubles:
    """The weighted mean of (anchor - positive)ᵀ (anchor - positive), (d, d); arguments as above."""
    total = np.zeros((vectors.shape[1],) * 2)
    for first in range(0, len(anchor), _BLOCK):
        of = slice(first, first + _BLOCK)
        apart = vectors[anchor[of]].astype(np.float64) - vectors[positive[of]]
        total += (apart * weight[of, None]).T @ apart
    mean: Doubles = total / weight.sum(dtype=np.float64)
    return mean
