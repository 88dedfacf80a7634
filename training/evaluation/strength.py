"""Scores at several release strengths in, the strength to release and the decision on it out.

A head is released at a strength between the old space (0) and what was trained (1), as weights are
interpolated in M. Wortsman and others, "Robust fine-tuning of zero-shot models" (CVPR 2022). The
strength is chosen on one half of the clusters and decided on the other, since whoever decides
on what they chose by finds the luckiest model, not the best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.training.evaluation.gate import (
    Decision,
    Evidence,
    GateLimits,
    decide,
    harmless,
)
from sightline.training.evaluation.paired import Clusters, Difference, compare
from sightline.training.evaluation.retrieval import QueryScores
from sightline.training.evaluation.served import ServedAsBuilt

STRENGTHS = (0.2, 0.35, 0.6, 0.8, 1.0)
"""What is tried, weakest first."""
CAREFUL = 0.35
"""What is decided on where there are too few clusters to choose by some and decide by others."""
GAIN = "ndcg@24"
"""What may show a gain beside mean average precision: a page has 24 pictures."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """What each of q queries is about."""

    clusters: Clusters
    """(q,) by label or group, or by the old space: what is drawn together."""
    clicked: Mask
    """(q,) whether training saw clicks of the query's cluster."""
    slices: Mapping[str, Mask]
    """Per name of a slice (q,)."""

    def unclicked_clusters(self) -> int:
        """Counts the clusters that were held out of training."""
        return len(np.unique(self.clusters[~self.clicked]))


@dataclass(frozen=True, slots=True)
class Choice:
    """A strength, and what the gate says of it."""

    strength: float
    decision: Decision


def evidence(
    before: QueryScores,
    after: QueryScores,
    groups: Groups,
    served: ServedAsBuilt,
    *,
    among: Mask | None = None,
    seed: int = 0,
) -> Evidence:
    """What the gate decides by.

    Args:
        before: q queries under the serving model.
        after: the same under the candidate.
        groups: what the queries are about.
        served: the candidate as converted.
        among: (q,) only these queries; none: all.
        seed: of the bootstrap.
    """
    mask = np.ones(len(before), bool) if among is None else among

    def difference(where: Mask, measure: str = "mAP") -> Difference:
        rows = where & mask
        return compare(
            before.at(rows), after.at(rows), groups.clusters[rows], measure=measure, seed=seed
        )

    return Evidence(
        clicked=difference(groups.clicked),
        clicked_gain=difference(groups.clicked, GAIN),
        unclicked=difference(~groups.clicked),
        slices={name: difference(where) for name, where in groups.slices.items()},
        served=served,
    )


def choose_and_decide(
    before: QueryScores,
    after: Mapping[float, QueryScores],
    served: Mapping[float, ServedAsBuilt],
    groups: Groups,
    limits: GateLimits,
    *,
    seed: int = 0,
) -> Choice:
    """The strongest that does no harm on one half of the clusters, decided on the other half.

    Where a half would have too few unclicked clusters to decide by, nothing is chosen: the careful
    strength (or the weakest that was measured) is decided on all of them.

    Args:
        before: q queries under the serving model.
        after: the same under the candidate, per strength.
        served: the candidate as converted, per strength.
        groups: what the queries are about.
        limits: of the gate.
        seed: of the halves and the bootstrap.
    """

    def measured(strength: float, among: Mask | None) -> Evidence:
        found = after[strength]
        return evidence(before, found, groups, served[strength], among=among, seed=seed)

    deciding = deciding_half(groups, seed=seed)
    if groups.unclicked_clusters() // 2 < limits.min_clusters:
        strength = CAREFUL if CAREFUL in after else min(after)
        return Choice(strength, decide(measured(strength, None), limits))
    chosen = choose_strength({each: measured(each, ~deciding) for each in after}, limits)
    strength = min(after) if chosen is None else chosen
    return Choice(strength, decide(measured(strength, deciding), limits))


def choose_strength(measured: Mapping[float, Evidence], limits: GateLimits) -> float | None:
    """The strongest that loses nothing that matters (rules 2 and 3); None: not even the weakest."""
    passing = [strength for strength, found in measured.items() if harmless(found, limits)]
    return max(passing, default=None)


def deciding_half(groups: Groups, *, seed: int) -> Mask:
    """The queries (q,) of half of the clusters, of clicked and unclicked ones each."""
    random = np.random.default_rng(seed)
    half = np.zeros(len(groups.clusters), bool)
    for where in (groups.clicked, ~groups.clicked):
        names = np.unique(groups.clusters[where])
        chosen = random.permutation(names)[len(names) // 2 :]
        half |= where & np.isin(groups.clusters, chosen)
    return half
