"""Scores at several release strengths in, the strength to decide on and the evidence for it out.

A head is released at a strength between the old space (0) and what was trained (1), as weights are
interpolated in M. Wortsman and others, "Robust fine-tuning of zero-shot models" (CVPR 2022). The
strength is chosen on one part of the clusters and decided on the other, since whoever decides
on what they chose by finds the luckiest model, not the best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sightline.training.evaluation.gate import (
    Evidence,
    GateLimits,
    harmless,
)
from sightline.training.evaluation.paired import (
    NOTHING,
    Clusters,
    Difference,
    paired_difference,
)
from sightline.training.evaluation.retrieval import QueryScores
from sightline.training.evaluation.served import ServedAsBuilt

STRENGTHS = (0.2, 0.35, 0.6, 0.8, 1.0)
"""What is tried, weakest first."""
BY_CLICKS = (0.2, 0.35, 0.6)
"""What is tried where clicks decide: the like of kinds that are held out is clicked, so that they
hardly show what a stronger head costs where nothing is (docs/evaluation.md)."""
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

    def at(self, queries: NDArray[np.integer]) -> Self:
        """What some of the queries are about, in the order of their numbers here."""
        slices = {name: where[queries] for name, where in self.slices.items()}
        clusters, clicked = self.clusters[queries], self.clicked[queries]
        return type(self)(clusters=clusters, clicked=clicked, slices=slices)

    def unclicked_clusters(self) -> int:
        """Counts the clusters that were held out of training."""
        return len(np.unique(self.clusters[~self.clicked]))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A strength, and the queries that may decide on it."""

    strength: float
    deciding: Mask
    """(q,) the queries that had no part in the choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedQueries:
    """What people graded, j queries beside those of the clicks that decide."""

    before: QueryScores
    """Under the serving model."""
    after: Mapping[float, QueryScores]
    """Under the candidate, per strength."""
    clusters: Clusters
    """(j,) by the same numbers as those of the clicks."""

    def choosing(self, groups: Groups, deciding: Mask, *, seed: int = 0) -> dict[float, Difference]:
        """The differences on kinds by whose clicks a strength is chosen, per strength."""
        chosen_by = self._chosen_by(groups, deciding)
        return {each: self._of(each, chosen_by, seed) for each in self.after}

    def deciding(self, groups: Groups, chosen: Chosen, *, seed: int = 0) -> Difference:
        """The difference at the strength that was chosen, on the kinds that had no part in it."""
        return self._of(chosen.strength, ~self._chosen_by(groups, chosen.deciding), seed)

    def _chosen_by(self, groups: Groups, deciding: Mask) -> Mask:
        return np.isin(self.clusters, groups.clusters[~deciding])

    def _of(self, strength: float, among: Mask, seed: int) -> Difference:
        scores = self.before.at(among), self.after[strength].at(among)
        return paired_difference(*scores, self.clusters[among], seed=seed)


def choose(
    before: QueryScores,
    after: Mapping[float, QueryScores],
    groups: Groups,
    limits: GateLimits,
    *,
    graded: GradedQueries | None = None,
    seed: int = 0,
) -> Chosen:
    """The strongest that does no harm on some of the clusters; the others are to decide.

    Half of them decide, or as many as it takes where that is more. Where too few would be left to
    choose by, nothing is chosen: the careful strength (or the weakest that was measured) is to be
    decided on all of them.

    Args:
        before: q queries under the serving model.
        after: the same under the candidate, per strength.
        groups: what the queries are about.
        limits: of the gate.
        graded: what people graded, which must not get worse either.
        seed: of the draw and the bootstrap.
    """
    if not can_choose(groups, limits):
        strength = CAREFUL if CAREFUL in after else min(after)
        return Chosen(strength, np.ones(len(before), bool))
    deciding = deciding_part(groups, at_least=limits.min_clusters, seed=seed)
    differences = {
        strength: _Differences(before, scores, groups, ~deciding, seed)
        for strength, scores in after.items()
    }
    judged = {} if graded is None else graded.choosing(groups, deciding, seed=seed)
    passing = [
        s
        for s, found in differences.items()
        if harmless(found.unclicked, found.slices, limits, judged.get(s, NOTHING))
    ]
    return Chosen(max(passing, default=min(after)), deciding)


def can_choose(groups: Groups, limits: GateLimits) -> bool:
    """Whether the unclicked clusters are enough to choose by some and to decide by others."""
    return groups.unclicked_clusters() >= limits.min_clusters + limits.min_choosing


def evidence(
    before: QueryScores,
    after: QueryScores,
    groups: Groups,
    served: ServedAsBuilt,
    *,
    among: Mask | None = None,
    judged: Difference | None = None,
    seed: int = 0,
) -> Evidence:
    """What the gate decides by.

    Args:
        before: q queries under the serving model.
        after: the same under the candidate.
        groups: what the queries are about.
        served: the candidate as converted.
        among: (q,) only these queries; none: all.
        judged: by what people graded, where clicks decide; none: nobody graded.
        seed: of the bootstrap.
    """
    mask = np.ones(len(before), bool) if among is None else among
    found = _Differences(before, after, groups, mask, seed)
    return Evidence(
        clicked=found.of(groups.clicked),
        clicked_gain=found.of(groups.clicked, GAIN),
        unclicked=found.unclicked,
        slices=found.slices,
        served=served,
        judged=judged,
    )


@dataclass(frozen=True, slots=True)
class _Differences:
    """Two models on some of the queries."""

    before: QueryScores
    after: QueryScores
    groups: Groups
    among: Mask
    seed: int

    @property
    def unclicked(self) -> Difference:
        return self.of(~self.groups.clicked)

    @property
    def slices(self) -> dict[str, Difference]:
        return {name: self.of(where) for name, where in self.groups.slices.items()}

    def of(self, where: Mask, measure: str = "mAP") -> Difference:
        rows = where & self.among
        clusters = self.groups.clusters[rows]
        before, after = self.before.at(rows), self.after.at(rows)
        return paired_difference(before, after, clusters, measure=measure, seed=self.seed)


def deciding_part(groups: Groups, *, at_least: int, seed: int) -> Mask:
    """The queries (q,) of half of the clusters, and of so many unclicked ones at least."""
    random = np.random.default_rng(seed)
    part = np.zeros(len(groups.clusters), bool)
    for where, least in ((groups.clicked, 0), (~groups.clicked, at_least)):
        names = np.unique(groups.clusters[where])
        choosing = max(0, min(len(names) // 2, len(names) - least))
        part |= where & np.isin(groups.clusters, random.permutation(names)[choosing:])
    return part
