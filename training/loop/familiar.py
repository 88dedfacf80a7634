"""A head in, one that leaves what is unlike all that was clicked nearly where it was.

It stays one matrix, as no head does behind a gate (`gating`, docs/adr/0032-familiarity.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.projections import Projection
from sightline.training.loop.head import Head

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def kept_along_familiar(start: Projection, head: Head, clicked: Floats) -> Head:
    """Change the start along directions in which clicked pictures vary, and along no others.

    Args:
        start: (f,) mean and (f, d) matrix.
        head: whose difference from the start, whitening and all, is kept in part.
        clicked: (n, f) features of what people asked by or preferred, n at least 1.
    """
    kept = familiarity(clicked - start.mean)
    based = start.matrix + kept @ (head.base.astype(np.float64) - start.matrix)
    return Head(
        mean=head.mean,
        base=based.astype(np.float32),
        change=(kept @ head.change).astype(np.float32),
    )


def familiarity(centred: Floats) -> Doubles:
    """How much of a change each direction keeps: (C + I tr C / f)⁻¹ C, (f, f).

    It is ridge regression: of all linear maps that which makes the least squared error at being one
    on the pictures, whose second moments are C, and none on noise of as much variance in every
    direction (A. Hoerl, R. Kennard, "Ridge Regression", Technometrics 12, 1970).

    Args:
        centred: (n, f) features of pictures, less the start's mean.
    """
    moments = centred.T.astype(np.float64) @ centred / len(centred)
    noise = np.eye(len(moments)) * np.trace(moments) / len(moments)
    kept: Doubles = np.linalg.solve(moments + noise, moments)
    return kept
