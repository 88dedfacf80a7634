"""Vectors of pictures in, the kind that each belongs to out: where no label says so, k-means does.

Queries for one kind of thing rise and fall together, so that whatever is held out of training, or
drawn again for an interval, is drawn by kind and never by query.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
MOST_CLUSTERS, EACH = 400, 5
"""No more clusters than that, and five pictures in each where there are fewer: a fifth of 400 is
what a decision on a model needs."""
_ROUNDS, _SAMPLE, _BLOCK = 15, 20_000, 4_096


def picture_clusters(
    vectors: Floats,
    groups: Ints,
    *,
    labels: Sequence[str | None] | None = None,
    seed: int = 0,
) -> Ints:
    """Number the kind of each picture, (n,); look-alikes are of one kind.

    Args:
        vectors: (n, d) in the space that the clicks improve upon.
        groups: (n,) of look-alikes (`look_alike_groups`).
        labels: of what a picture shows, or of the thing that it is of; None: found by k-means.
        seed: of the k-means.
    """
    names = np.asarray(labels if labels is not None else [None] * len(vectors), object)
    unknown = np.flatnonzero([name is None for name in names])
    known = np.flatnonzero([name is not None for name in names])
    kinds = np.zeros(len(vectors), np.int64)
    kinds[unknown] = k_means(
        vectors[unknown], max(1, min(MOST_CLUSTERS, len(unknown) // EACH)), seed=seed
    )
    numbers = np.unique(names[known].astype(str), return_inverse=True)[1].ravel()
    kinds[known] = numbers + kinds.max(initial=0) + 1
    _, firsts, which = np.unique(groups, return_index=True, return_inverse=True)
    return np.unique(kinds[firsts][which.ravel()], return_inverse=True)[1].ravel().astype(np.int64)


def k_means(vectors: Floats, count: int, *, seed: int = 0) -> Ints:
    """Number the nearest of at most `count` centres by cosine, (n,); equal arguments, equal answer.

    Spherical k-means: I. Dhillon, D. Modha, "Concept Decompositions for Large Sparse Text Data
    Using Clustering" (2001), from random pictures, in 15 rounds over at most 20,000 of them.
    """
    if not len(vectors):
        return np.empty(0, np.int64)
    random = np.random.default_rng(seed)
    unit = _unit(vectors)
    sample = unit[np.sort(random.choice(len(unit), min(_SAMPLE, len(unit)), replace=False))]
    centres = sample[random.choice(len(sample), min(count, len(sample)), replace=False)]
    for _ in range(_ROUNDS):
        nearest = _nearest(sample, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, sample)
        filled = np.bincount(nearest, minlength=len(centres)) > 0
        centres = np.where(filled[:, None], _unit(sums), centres)
    return _nearest(unit, centres)


def _nearest(unit: Floats, centres: Floats) -> Ints:
    blocks = range(0, len(unit), _BLOCK)
    return np.concatenate([(unit[at : at + _BLOCK] @ centres.T).argmax(axis=1) for at in blocks])


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
