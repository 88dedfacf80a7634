"""The slow measures that the fast ones are compared with: the examples of the rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle_measures import (
    average_precision,
    dcg,
    ndcg,
    precision_at,
    recall_at,
    reciprocal_rank,
    relevances,
)

GRADES = [0, 5, 1, 4, 2]


def test_golden_gain() -> None:
    """The graded example of the rules: DCG 6.151, ideal 8.954, nDCG .6869."""
    assert dcg(GRADES) == pytest.approx(6.151, abs=5e-4)
    assert dcg(sorted(GRADES, reverse=True)) == pytest.approx(8.954, abs=5e-4)
    assert ndcg(GRADES, judged=GRADES) == pytest.approx(0.6869, abs=5e-5)


@pytest.mark.parametrize("relevant", [[0, 1, 1, 1], [0, 1, 0, 0]])
def test_golden_reciprocal_rank(relevant: list[int]) -> None:
    """Only the first relevant place counts: RR 0.5 both."""
    assert reciprocal_rank(relevant) == 0.5


def test_nothing_found() -> None:
    """Without anything relevant the measures are 0, not an error."""
    assert reciprocal_rank([0, 0]) == 0
    assert average_precision([0, 0], all_relevant=3) == 0
    assert average_precision([], all_relevant=0) == 0
    assert recall_at([0, 0], 1, all_relevant=0) == 0
    assert ndcg([0, 0], judged=[0, 0]) == 0


def test_cuts_divide_by_what_the_rules_say() -> None:
    """precision@k divides by k, recall@k and AP by all relevant, returned or not."""
    relevant = relevances(GRADES)
    assert relevant == [0, 1, 0, 1, 0]
    assert precision_at(relevant, 10) == pytest.approx(0.2)
    assert recall_at(relevant, 2, all_relevant=4) == pytest.approx(0.25)
    assert average_precision(relevant, all_relevant=4) == pytest.approx((1 / 2 + 2 / 4) / 4)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=12), st.integers(0, 3))
def test_average_precision_is_its_definition(relevant: list[int], unseen: int) -> None:
    """AP = the sum over relevant places of precision there, over all relevant."""
    total = sum(relevant) + unseen
    slow = sum(precision_at(relevant, place) for place, hit in enumerate(relevant, start=1) if hit)
    expected = slow / total if total else 0.0
    assert average_precision(relevant, all_relevant=total) == pytest.approx(expected)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_no_order_beats_the_ideal(grades: list[int]) -> None:
    """The nDCG lies in 0-1 and is 1 for the best order."""
    best = sorted(grades, reverse=True)
    assert 0 <= ndcg(grades, judged=grades) <= 1 + 1e-12
    assert ndcg(best, judged=grades) == pytest.approx(1.0 if any(grades) else 0.0)
