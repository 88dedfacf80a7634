"""Scores of queries, as a test wants them."""

from __future__ import annotations

import numpy as np

from sightline.training.evaluation.retrieval import QueryScores


def of_precisions(found: np.ndarray[tuple[int], np.dtype[np.float64]]) -> QueryScores:
    """Of queries with these average precisions, each with two pictures to find."""
    relevant = np.full(len(found), 2)
    return QueryScores(
        relevant=relevant,
        average_precision=found,
        reciprocal_rank=found,
        precision={},
        recall={},
        ndcg={},
    )
