"""Grades of several judges in, how far they agree out.

Two judges: Cohen's kappa with quadratic weights (J. Cohen, "Weighted kappa: Nominal scale agreement
with provision for scaled disagreement or partial credit", Psychological Bulletin 70, 1968). More:
the mean over pairs of judges (R. J. Light, "Measures of response agreement for qualitative data",
Psychological Bulletin 76, 1971). 1 is perfect agreement, 0 what chance would bring.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sightline.schemas.judgements import MAX_GRADE

GRADES = MAX_GRADE + 1
MIN_SHARED = 10
"""Two judges with fewer images in common say nothing about agreement."""
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoJudges:
    """How far two judges agree on what both graded."""

    judges: tuple[str, str]
    shared: int
    """(anchor, image) pairs that both graded."""
    kappa: float | None
    """None: fewer than `MIN_SHARED`, or both gave one and the same grade throughout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far all judges of some grades agree with one another."""

    judges: int
    graded: int
    """(anchor, image) pairs with a grade."""
    shared: int
    """Those with grades of at least two judges."""
    kappa: float | None
    """The mean over the pairs of judges that have one; None: there is none."""
    between: tuple[TwoJudges, ...]
    """Every two judges that share anything, by name."""


def weighted_kappa(counts: Counts) -> float | None:
    """Cohen's kappa with weights (i - j)²; None where chance cannot disagree.

    Args:
        counts: (k, k), how many things got grade i from one judge and j from the other.
    """
    grade = np.arange(len(counts), dtype=np.float64)
    weights = (grade[:, None] - grade[None, :]) ** 2
    total = counts.sum()
    if not total:
        return None
    expected = float((weights * np.outer(counts.sum(axis=1), counts.sum(axis=0))).sum() / total)
    if not expected:
        return None
    return 1.0 - float((weights * counts).sum()) / expected


def agreement_of(grades: Iterable[Mapping[str, int]]) -> Agreement:
    """How far judges agree over what they graded.

    Args:
        grades: of each (anchor, image) pair, the grade by judge.
    """
    judges, graded, shared = set[str](), 0, 0
    tables: defaultdict[tuple[str, str], Counts] = defaultdict(
        lambda: np.zeros((GRADES, GRADES), np.int64)
    )
    for by_judge in grades:
        judges |= by_judge.keys()
        graded += bool(by_judge)
        shared += len(by_judge) > 1
        for one, other in combinations(sorted(by_judge), 2):
            tables[one, other][by_judge[one], by_judge[other]] += 1
    between = tuple(_two(pair, counts) for pair, counts in sorted(tables.items()))
    known = [two.kappa for two in between if two.kappa is not None]
    return Agreement(
        judges=len(judges),
        graded=graded,
        shared=shared,
        kappa=sum(known) / len(known) if known else None,
        between=between,
    )


def _two(judges: tuple[str, str], counts: Counts) -> TwoJudges:
    shared = int(counts.sum())
    kappa = weighted_kappa(counts) if shared >= MIN_SHARED else None
    return TwoJudges(judges=judges, shared=shared, kappa=kappa)
