"""Scores and vectors of two models in, the queries that moved most and what they find out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.training.evaluation.retrieval import QueryScores, Vectors

Rows = NDArray[np.intp]


def moved_most(before: QueryScores, after: QueryScores, count: int) -> Rows:
    """The queries whose average precision rose most, then those where it fell most.

    At most `count` of each kind; queries that stayed the same are in neither.
    """
    gained = after.average_precision - before.average_precision
    order = np.argsort(-gained, kind="stable")
    risen = order[gained[order] > 0][:count]
    fallen = order[gained[order] < 0][::-1][:count]
    return np.concatenate([risen, fallen])


def nearest(queries: Vectors, gallery: Vectors, count: int) -> Rows:
    """The gallery's rows that each query finds first, by cosine similarity, best first.

    Args:
        queries: (m, d), few of them.
        gallery: (g, d); ties keep its order.
        count: how many, k.

    Returns:
        (m, min(k, g)).
    """
    similar = _unit(queries) @ _unit(gallery).T
    found: Rows = np.argsort(-similar, axis=1, kind="stable")[:, :count]
    return found


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
