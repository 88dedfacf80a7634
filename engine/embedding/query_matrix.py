"""Two linear heads over the same features in, the matrix that serves the new on the old's vectors.

A linear head P makes z(x) = unit((x - mean) P) of features x. Where the new head is linear in the
old one's space, N = P A, its similarity is bilinear in the old vectors:

    z_new(q) · z_new(g)  =  z_old(q) A Aᵀ z_old(g)  up to a factor of q and one of g.

So a query is multiplied by W = A Aᵀ, and vectors, graph and quantisation of the old index stay
(docs/adr/0029). The factor of q changes no order. The one of g, |z_old(g) A|, does: that is why a
score then is no cosine.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.projections import (
    AnyProjection,
    Features,
    GatedProjection,
    Projection,
)

Doubles = NDArray[np.float64]
MAX_RESIDUAL = 1e-5
"""What of the new matrix may lie outside the old one's space, as a share of its Frobenius norm. A
head that was trained from the old one leaves 3e-8, what fp32 rounds; one trained anew .1 and more.
"""
MAX_SPREAD = 100.0
"""Largest to smallest eigenvalue of W. Of heads that clicks on photos taught by masks it was 24 at
strength .35, 59 at .6 and 1,039 at 1, and the graph over 100,000 vectors of the old model found
.998, .994 and .934 of an exact scan; of heads that walks teach, 26, 46 and 550, and .994, .992 and
.988 (docs/adr/0029)."""
_LARGE = 1e4
"""A solution so many times larger than it need be comes of columns that nearly depend."""


@dataclass(frozen=True, slots=True, eq=False)
class QueryMatrix:
    """How a query of the old vectors becomes one that ranks them as the new head does."""

    matrix: Features
    """W, (d, d), symmetric, positive definite, of Frobenius norm 1."""
    residual: float
    """Which share of the new matrix's norm it cannot express; at most `MAX_RESIDUAL`."""


@dataclass(frozen=True, slots=True)
class NotLinear:
    """Why no matrix on the query serves a model, so that an index of its own comes first."""

    reason: str


class LinearModel(Protocol):
    """What is asked of a model: which features it takes, and what it makes of them."""

    @property
    def features_digest(self) -> str:
        """Names the features: network, weights, crops and arithmetic."""

    @property
    def projection(self) -> AnyProjection | None:
        """What is made of them; None: they are the vectors."""


def matrix_between(old: LinearModel, new: LinearModel) -> QueryMatrix | NotLinear:
    """The matrix by which queries of `new` rank vectors of `old`, or why there is none."""
    if old.features_digest != new.features_digest:
        return NotLinear("it looks at pictures with another network, or at other crops of them")
    if old.projection is None or new.projection is None:
        return NotLinear("one of both has no projection")
    if isinstance(new.projection, GatedProjection):
        return NotLinear("behind its familiarity gate each picture has a strength of its own")
    if isinstance(old.projection, GatedProjection):
        return NotLinear(
            "the vectors that are indexed lie behind a familiarity gate, each at a strength of "
            "its own"
        )
    return query_matrix(old.projection, new.projection)


def query_matrix(old: Projection, new: Projection) -> QueryMatrix | NotLinear:
    """W = A Aᵀ, where new.matrix = old.matrix A by least squares, computed in fp64.

    Args:
        old: (f, d), which made the vectors of the index.
        new: (f, any), over the same features: the same network, weights, crops and arithmetic.
    """
    if old.mean.shape != new.mean.shape:
        return NotLinear(f"it takes {len(new.mean)} features, and the index {len(old.mean)}")
    if not np.array_equal(old.mean, new.mean):
        return NotLinear("it centres the features elsewhere")
    wanted, space = new.matrix.astype(np.float64), old.matrix.astype(np.float64)
    if not (np.isfinite(space).all() and np.isfinite(wanted).all() and wanted.any()):
        return NotLinear("a matrix is zero, or holds numbers that are not finite")
    head, residual = _fitted(space, wanted)
    if residual > MAX_RESIDUAL:
        return NotLinear(
            f"{residual:.1%} of it lies outside the space of the vectors that are indexed"
        )
    squared = head @ head.T
    least, *_, most = np.linalg.eigvalsh(squared)
    if most > MAX_SPREAD * least:
        return NotLinear(
            "it weighs some directions of the vectors that are indexed more than "
            f"{MAX_SPREAD:.0f} times as much as others, and their graph finds too little then"
        )
    return QueryMatrix((squared / np.linalg.norm(squared)).astype(np.float32), residual)


def _fitted(space: Doubles, wanted: Doubles) -> tuple[Doubles, float]:
    """The A that brings `space` A nearest to `wanted`, and what is left, relative to its norm.

    By the normal equations, a tenth of the time of the decomposition that is taken where they do
    not do: where the columns of `space` are nearly dependent.
    """
    size = np.linalg.norm(wanted)
    with suppress(np.linalg.LinAlgError):
        head: Doubles = np.linalg.solve(space.T @ space, space.T @ wanted).astype(np.float64)
        left = float(np.linalg.norm(space @ head - wanted) / size)
        large = np.linalg.norm(space) * np.linalg.norm(head) > _LARGE * size
        if left <= MAX_RESIDUAL and not large:
            return head, left
    nearest: Doubles = np.linalg.lstsq(space, wanted)[0].astype(np.float64)
    return nearest, float(np.linalg.norm(space @ nearest - wanted) / size)
