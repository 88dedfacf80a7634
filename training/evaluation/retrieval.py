"""Vectors of queries and gallery in, the measures of every single query out.

The definitions are those of `measures.py`, which stays the slow and readable one; here they are
computed for a block of queries at a time. Per query and not as means, since models are compared
query by query (`paired.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sightline.training.evaluation.measures import CUTS, RELEVANT_GRADE
from sightline.training.evaluation.relevance import NO_ROW, Grades, Relevance

Floats = NDArray[np.float64]
Vectors = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryScores:
    """The measures of q queries over one gallery, in the order of the queries."""

    relevant: NDArray[np.int64]
    """(q,) how many relevant pictures the gallery holds for each; 0: there is nothing to find."""
    average_precision: Floats
    """(q,)."""
    reciprocal_rank: Floats
    """(q,)."""
    precision: dict[int, Floats]
    """Per cut k (q,)."""
    recall: dict[int, Floats]
    """Per cut k (q,)."""
    ndcg: dict[int, Floats]
    """Per cut k (q,)."""

    def __len__(self) -> int:
        """How many queries there are, hopeless ones included."""
        return len(self.relevant)

    def at(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> Self:
        """The scores of some of the queries, by their numbers or by a mask (q,)."""
        return type(self)(
            relevant=self.relevant[rows],
            average_precision=self.average_precision[rows],
            reciprocal_rank=self.reciprocal_rank[rows],
            precision={k: values[rows] for k, values in self.precision.items()},
            recall={k: values[rows] for k, values in self.recall.items()},
            ndcg={k: values[rows] for k, values in self.ndcg.items()},
        )

    def columns(self) -> dict[str, Floats]:
        """Every measure by its name, such as `mAP` or `recall@5`: (q,) each."""
        by_cut = {"precision": self.precision, "recall": self.recall, "ndcg": self.ndcg}
        cut = {f"{name}@{k}": v for name, cuts in by_cut.items() for k, v in cuts.items()}
        return {"mAP": self.average_precision, "MRR": self.reciprocal_rank} | cut

    def means(self) -> dict[str, float]:
        """Averages each measure over the queries that have anything to find; 0 without any."""
        able = self.relevant > 0
        return {k: float(v[able].mean()) if able.any() else 0.0 for k, v in self.columns().items()}


def score_queries(
    queries: Vectors, gallery: Vectors, relevance: Relevance, *, block: int = 256
) -> QueryScores:
    """Rank the whole gallery for every query by cosine similarity, and measure each ranking.

    Memory is some 20 bytes x block x gallery. A query that has a similarity which is no number
    (its own vector, or any of the gallery, is broken) has 0 in every measure.

    Args:
        queries: (q, d), not zero.
        gallery: (g, d), not zero; ties in similarity keep this order.
        relevance: grades of the gallery for each query.
        block: how many queries are ranked at once.

    Raises:
        ValueError: the vectors are not as many as the relevance is about.
    """
    if (len(queries), len(gallery)) != (relevance.queries, relevance.gallery):
        raise ValueError(f"{len(queries)} queries on {len(gallery)} pictures do not fit the truth")
    unit, pictures = _unit(queries), _unit(gallery).T
    blocks = [
        _block(unit[first : first + block] @ pictures, relevance, first)
        for first in range(0, len(unit), block)
    ]
    nothing = np.zeros((0, len(gallery)), np.int8)
    return _joined(blocks or [_measured(nothing, nothing)])


def _block(similar: Vectors, relevance: Relevance, first: int) -> QueryScores:
    last = first + len(similar)
    grades, own = relevance.grades(first, last), relevance.own_rows(first, last)
    broken = ~np.isfinite(similar).all(axis=1)
    inside = np.flatnonzero(own != NO_ROW)
    # Last and worth nothing: every measure is as if the picture were not in the gallery.
    similar[inside, own[inside]], grades[inside, own[inside]] = -np.inf, 0
    ranked = np.take_along_axis(grades, np.argsort(-similar, axis=1, kind="stable"), axis=1)
    ranked[broken] = 0
    return _measured(ranked, grades)


def _measured(ranked: Grades, grades: Grades) -> QueryScores:
    """Measures of rankings (b, g), best first, of galleries with these grades (b, g)."""
    found, relevant = ranked >= RELEVANT_GRADE, (grades >= RELEVANT_GRADE).sum(axis=1)
    rows, places = np.nonzero(found)
    number = np.arange(1, len(rows) + 1) - np.searchsorted(rows, rows)
    first, able = number == 1, np.maximum(relevant, 1)
    hits = {k: found[:, :k].sum(axis=1) for k in CUTS}
    ideal = np.sort(grades, axis=1)[:, ::-1]
    return QueryScores(
        relevant=relevant,
        average_precision=_sums(rows, number / (places + 1), len(ranked)) / able,
        reciprocal_rank=_sums(rows[first], 1 / (places[first] + 1), len(ranked)),
        precision={k: count / k for k, count in hits.items()},
        recall={k: count / able for k, count in hits.items()},
        ndcg={k: _ratio(_dcg(ranked[:, :k]), _dcg(ideal[:, :k])) for k in CUTS},
    )


def _sums(rows: NDArray[np.integer], values: Floats, count: int) -> Floats:
    """Adds up the values of each row: (n,) to (count,)."""
    summed: Floats = np.bincount(rows, values, minlength=count).astype(np.float64)
    return summed


def _dcg(grades: Grades) -> Floats:
    """Sum of grade / log2(place + 1) of each row: (b, k) to (b,)."""
    discounted: Floats = grades / np.log2(np.arange(2, grades.shape[1] + 2))
    summed: Floats = discounted.sum(axis=1)
    return summed


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio


def _joined(parts: Sequence[QueryScores]) -> QueryScores:
    return QueryScores(
        relevant=np.concatenate([part.relevant for part in parts]),
        average_precision=np.concatenate([part.average_precision for part in parts]),
        reciprocal_rank=np.concatenate([part.reciprocal_rank for part in parts]),
        precision={k: np.concatenate([part.precision[k] for part in parts]) for k in CUTS},
        recall={k: np.concatenate([part.recall[k] for part in parts]) for k in CUTS},
        ndcg={k: np.concatenate([part.ndcg[k] for part in parts]) for k in CUTS},
    )


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
