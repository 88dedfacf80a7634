"""Vectors of queries and gallery in, the measures of every single query out.

Definitions: C. Manning, P. Raghavan, H. Schütze, "Introduction to Information Retrieval" (2008),
chapter 8; DCG with linear gain, K. Järvelin, J. Kekäläinen (2002). Per query and not as means,
since models are compared query by query (`paired.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sightline.training.evaluation.relevance import NO_ROW, RELEVANT_GRADE, Grades, Relevance

CUTS = (1, 5, 10, 24)
"""So many of the first results precision, recall and nDCG look at."""
_NOWHERE = -1
"""The place of a picture that a broken query does not find."""
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

    @property
    def able(self) -> NDArray[np.bool_]:
        """(q,) which queries have anything to find."""
        return self.relevant > 0

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
        able = self.able
        return {k: float(v[able].mean()) if able.any() else 0.0 for k, v in self.columns().items()}


def score_queries(
    queries: Vectors, gallery: Vectors, relevance: Relevance, *, block: int = 256
) -> QueryScores:
    """Rank the whole gallery for every query by cosine similarity, and measure each ranking.

    Memory is some 10 bytes x block x gallery. A query that has a similarity which is no number
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
    nothing = _Graded.of(np.zeros((0, len(gallery)), np.int8))
    return _joined(blocks or [_measured(nothing, np.empty(0, np.int64))])


@dataclass(frozen=True, slots=True)
class _Graded:
    """The pictures of b queries that have a grade, which is all that the measures look at."""

    queries: int
    """How many: b."""
    rows: NDArray[np.int64]
    """(n,) the query of each, ascending."""
    pictures: NDArray[np.int64]
    """(n,) rows of the gallery."""
    given: Grades
    """(n,) above 0."""

    @classmethod
    def of(cls, grades: Grades) -> Self:
        """From (b, g) grades, 0 where nobody judged."""
        rows, pictures = np.nonzero(grades)
        return cls(len(grades), rows, pictures, grades[rows, pictures])


def _block(similar: Vectors, relevance: Relevance, first: int) -> QueryScores:
    last = first + len(similar)
    grades, own = relevance.grades(first, last), relevance.own_rows(first, last)
    broken = np.flatnonzero(~np.isfinite(similar).all(axis=1))
    inside = np.flatnonzero(own != NO_ROW)
    # Last and worth nothing: every measure is as if the picture were not in the gallery.
    similar[inside, own[inside]], grades[inside, own[inside]] = -np.inf, 0
    graded = _Graded.of(grades)
    places = _places(similar, graded)
    places[np.isin(graded.rows, broken)] = _NOWHERE
    return _measured(graded, places)


def _places(similar: Vectors, graded: _Graded) -> NDArray[np.int64]:
    """Where the graded pictures come in their queries' rankings, from 0, (n,); ties keep order.

    Sorted similarities tell it, faster than an order of all pictures, which only a query with a
    tie needs.
    """
    places = np.empty(len(graded.rows), np.int64)
    starts = np.searchsorted(graded.rows, np.arange(graded.queries + 1))
    for row, first, last in zip(similar, starts, starts[1:], strict=False):
        pictures, ascending = graded.pictures[first:last], np.sort(row)
        below = np.searchsorted(ascending, row[pictures], "left")
        up_to = np.searchsorted(ascending, row[pictures], "right")
        if np.array_equal(up_to, below + 1):
            places[first:last] = len(row) - up_to
        else:
            ranking = np.argsort(-row, kind="stable")
            places[first:last] = np.argsort(ranking, kind="stable")[pictures]
    return places


def _measured(graded: _Graded, places: NDArray[np.int64]) -> QueryScores:
    """Measures of rankings in which the graded pictures have these places (n,), or none."""
    count, rows, given = graded.queries, graded.rows, graded.given
    ranked = np.lexsort((places, rows))
    ranked = ranked[places[ranked] != _NOWHERE]
    hits = ranked[given[ranked] >= RELEVANT_GRADE]
    number = _numbers(rows[hits]) + 1
    first = np.flatnonzero(number == 1)
    total = np.bincount(rows[given >= RELEVANT_GRADE], minlength=count)
    able = np.maximum(total, 1)
    found = {k: np.bincount(rows[hits][places[hits] < k], minlength=count) for k in CUTS}
    ideal = np.lexsort((-given, rows))
    best = {k: _dcg(rows, given[ideal], _numbers(rows), k, count) for k in CUTS}
    made = {k: _dcg(rows[ranked], given[ranked], places[ranked], k, count) for k in CUTS}
    return QueryScores(
        relevant=total,
        average_precision=_sums(rows[hits], number / (places[hits] + 1), count) / able,
        reciprocal_rank=_sums(rows[hits][first], 1 / (places[hits][first] + 1), count),
        precision={k: hit / k for k, hit in found.items()},
        recall={k: hit / able for k, hit in found.items()},
        ndcg={k: _ratio(made[k], best[k]) for k in CUTS},
    )


def _numbers(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the entries of each row from 0; rows ascend, (n,)."""
    numbers: NDArray[np.int64] = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return numbers


def _sums(rows: NDArray[np.int64], values: Floats, count: int) -> Floats:
    """Adds up the values of each row: (n,) to (count,)."""
    summed: Floats = np.bincount(rows, values, minlength=count).astype(np.float64)
    return summed


def _dcg(
    rows: NDArray[np.int64], given: Grades, places: NDArray[np.int64], k: int, count: int
) -> Floats:
    """Sum of grade / log2(place + 1), places from 1, over the first k places of each row."""
    top = places < k
    return _sums(rows[top], given[top] / np.log2(places[top] + 2), count)


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
