"""Scores of the same queries under two models in, their difference with its bounds out.

Queries about one thing rise and fall together (intra-class correlations of .24 to .52 were
measured), so that clusters of queries are drawn and never single queries, whose intervals are two
to four times too narrow (docs/adr/0022). B. Efron, R. Tibshirani, "An Introduction to the
Bootstrap" (1993), chapters 8.3 (groups) and 13.3 (percentiles); B. Phipson, G. Smyth, "Permutation
P-values Should Never Be Zero" (2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sightline.training.evaluation.retrieval import QueryScores

ONE_SIDED = 0.05
"""The chance to be wrong that each of the two bounds has."""
Floats = NDArray[np.float64]
Clusters = NDArray[np.integer] | NDArray[np.str_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much better a model is than another on the same queries, in units of the measure."""

    point: float
    """Mean over the queries of after - before."""
    lower: float
    """The true difference is above it, at 95 % (one-sided: 5 % of the draws are below)."""
    upper: float
    """The true difference is below it, at 95 % (one-sided)."""
    p_value: float
    """Two-sided, of "both are equal", by swapping the models within whole clusters."""
    clusters: int
    """Clusters with any query to count."""
    queries: int
    """Queries that have anything to find."""


NOTHING = Difference(
    point=0.0, lower=float("-inf"), upper=float("inf"), p_value=1.0, clusters=0, queries=0
)
"""What no query at all tells."""


def paired_difference(
    before: QueryScores,
    after: QueryScores,
    clusters: Clusters,
    *,
    measure: str = "mAP",
    draws: int = 2_000,
    seed: int = 0,
) -> Difference:
    """The paired difference of one measure, over the queries that have anything to find.

    Args:
        before: q queries under the model that is compared with.
        after: the same queries under the other.
        clusters: (q,) which cluster each query is in, under any names.
        measure: a name of `QueryScores.columns`.
        draws: of the bootstrap, and of the permutation test.
        seed: the same one gives the same bounds.

    Raises:
        ValueError: the two are not about the same queries.
    """
    if len(before) != len(after) or not np.array_equal(before.relevant, after.relevant):
        raise ValueError("the scores are not of the same queries with the same relevant pictures")
    able = before.able
    gained = after.columns()[measure][able] - before.columns()[measure][able]
    return difference_of(gained, clusters[able], draws=draws, seed=seed)


def difference_of(
    gained: Floats, clusters: Clusters, *, draws: int = 2_000, seed: int = 0
) -> Difference:
    """The mean of per-query gains (n,), its bounds and its p-value by clusters (n,)."""
    if not len(gained):
        return NOTHING
    sums, sizes = _by_cluster(gained, clusters)
    times, swapped = _chance(len(sums), draws, seed)
    lower, upper = np.quantile(_drawn(sums, sizes, times), (ONE_SIDED, 1 - ONE_SIDED))
    return Difference(
        point=float(sums.sum() / sizes.sum()),
        lower=float(lower),
        upper=float(upper),
        p_value=_as_different(sums, swapped),
        clusters=len(sums),
        queries=len(gained),
    )


def _by_cluster(gained: Floats, clusters: Clusters) -> tuple[Floats, Floats]:
    """Sum and number of the gains of each cluster: (c,) and (c,)."""
    numbers = np.unique(clusters, return_inverse=True)[1]
    return np.bincount(numbers, gained).astype(np.float64), np.bincount(numbers).astype(np.float64)


@lru_cache(maxsize=4)
def _chance(clusters: int, draws: int, seed: int) -> tuple[NDArray[np.integer], NDArray[np.bool_]]:
    """How often each draw takes each cluster, and which it swaps: (draws, clusters) both.

    Kept, since a gate compares several models on as many clusters, and drawing takes most of the
    time of a comparison.
    """
    random = np.random.default_rng(seed)
    times = random.multinomial(clusters, np.full(clusters, 1 / clusters), size=draws)
    swapped = random.integers(0, 2, size=times.shape).astype(np.bool_)
    return times.astype(np.min_scalar_type(times.max())), swapped


def _drawn(sums: Floats, sizes: Floats, times: NDArray[np.integer]) -> Floats:
    """Means over as many clusters as there are, drawn with replacement: (draws,)."""
    # As floats: numpy multiplies matrices of integers without BLAS, far slower.
    weights = times.astype(np.float64)
    means: Floats = (weights @ sums) / (weights @ sizes)
    return means


def _as_different(sums: Floats, swapped: NDArray[np.bool_]) -> float:
    """How often swapped models differ at least as much as the models themselves."""
    signs = swapped * 2.0 - 1.0
    # A swap that changes nothing must count, whatever the order of its sum made of the last bit.
    as_much = np.abs(signs @ sums) >= np.abs(sums.sum()) * (1 - 1e-9)
    return float((1 + as_much.sum()) / (len(signs) + 1))
