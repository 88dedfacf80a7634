"""Ranked grades in, the retrieval measures of docs/labels.md out: slow, as they are defined.

A ranking is the grades (0-5) of what was returned, best first. Grade 4 and above counts as
relevant for the binary measures. Definitions: C. Manning, P. Raghavan, H. Schütze, "Introduction
to Information Retrieval" (2008), chapter 8; DCG with linear gain, K. Järvelin, J. Kekäläinen
(2002).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.training.evaluation.relevance import RELEVANT_GRADE

Ranking = Sequence[float]


def relevances(grades: Ranking) -> list[int]:
    """1 where the grade counts as relevant, else 0."""
    return [int(grade >= RELEVANT_GRADE) for grade in grades]


def precision_at(relevant: Sequence[int], k: int) -> float:
    """Relevant in the top k, divided by k, also where fewer than k came back."""
    return sum(relevant[:k]) / k


def recall_at(relevant: Sequence[int], k: int, *, all_relevant: int) -> float:
    """Relevant in the top k, divided by all that are relevant; 0 where nothing is."""
    return sum(relevant[:k]) / all_relevant if all_relevant else 0.0


def average_precision(relevant: Sequence[int], *, all_relevant: int) -> float:
    """Mean over all relevant of the precision at each one's place; 0 where nothing is relevant."""
    if not all_relevant:
        return 0.0
    places = np.flatnonzero(np.asarray(relevant)) + 1
    return float(np.sum(np.arange(1, len(places) + 1) / places)) / all_relevant


def reciprocal_rank(relevant: Sequence[int]) -> float:
    """1 / place of the first relevant one; 0 where none is."""
    for place, is_relevant in enumerate(relevant, start=1):
        if is_relevant:
            return 1.0 / place
    return 0.0


def dcg(grades: Ranking) -> float:
    """Sum of grade / log2(place + 1), places from 1."""
    gains = np.asarray(grades, dtype=np.float64)
    return float(np.sum(gains / np.log2(np.arange(2, len(gains) + 2))))


def ndcg(grades: Ranking, *, judged: Ranking, k: int | None = None) -> float:
    """DCG of the top k over that of the best order of everything judged; 0 where all is 0.

    Args:
        grades: of what was returned, in order.
        judged: grades of everything judged for this query, in any order.
        k: the cut, applied to both; none: everything.
    """
    ideal = dcg(sorted(judged, reverse=True)[:k])
    return dcg(grades[:k]) / ideal if ideal else 0.0
