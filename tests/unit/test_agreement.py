"""Agreement of judges: weighted kappa against its definition, and who is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.label_data.agreement import MIN_SHARED, agreement_of, weighted_kappa

GRADES = 6


def kappa_by_definition(one: list[int], other: list[int]) -> float:
    """1 - observed ÷ expected disagreement (Cohen 1968), pair by pair of things.

    Expected is what is left when each grade of one judge meets every grade of the other.
    """
    observed = [(a - b) ** 2 for a, b in zip(one, other, strict=True)]
    expected = [(a - b) ** 2 for a in one for b in other]
    return 1 - (sum(observed) / len(observed)) / (sum(expected) / len(expected))


def counts(one: list[int], other: list[int]) -> np.ndarray:
    """How often grade i met grade j."""
    table = np.zeros((GRADES, GRADES), np.int64)
    for a, b in zip(one, other, strict=True):
        table[a, b] += 1
    return table


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=60))
def test_kappa_is_as_defined(pairs: list[tuple[int, int]]) -> None:
    """For any grades of two judges; none where chance itself cannot disagree."""
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found = weighted_kappa(counts(one, other))
    if len({*one, *other}) == 1:
        assert found is None
    else:
        assert found == pytest.approx(kappa_by_definition(one, other))


def test_a_worked_example() -> None:
    """Grades 0 2 4 5 against 0 2 5 4: off by 1 twice; 2 ÷ 4 against 118 ÷ 16 by chance."""
    found = weighted_kappa(counts([0, 2, 4, 5], [0, 2, 5, 4]))
    assert found == pytest.approx(1 - (2 / 4) / (118 / 16))


def test_equal_judges_agree_and_opposite_ones_do_not() -> None:
    """1, and below 0."""
    grades = [0, 1, 2, 3, 4, 5] * 2
    assert weighted_kappa(counts(grades, grades)) == 1.0
    assert (weighted_kappa(counts(grades, grades[::-1])) or 0.0) < 0


def test_only_what_several_graded_counts() -> None:
    """Two judges need enough in common; the figure is the mean over those who have."""
    shared = [{"ann": n % 6, "bob": n % 6} for n in range(MIN_SHARED)]
    few = [{"ann": 5, "cy": 0}] * (MIN_SHARED - 1)
    found = agreement_of([*shared, *few, {"dan": 3}])
    assert (found.judges, found.graded, found.shared) == (4, 2 * MIN_SHARED, 2 * MIN_SHARED - 1)
    assert [(two.judges, two.shared, two.kappa) for two in found.between] == [
        (("ann", "bob"), MIN_SHARED, 1.0),
        (("ann", "cy"), MIN_SHARED - 1, None),
    ]
    assert found.kappa == 1.0
    assert agreement_of([]).kappa is None
