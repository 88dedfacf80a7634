"""Clicks that training did not see in, queries with their relevant pictures out.

Where nobody has labelled anything, people's clicks tell what is relevant. A click alone tells it
badly: only what the serving model showed could be clicked, so that any other model, however much
better, finds less of it. What lies within two clicks of the query was mostly shown on other pages,
and judges nearly as labels do (measured in docs/evaluation.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.projections import AnyProjection, project_all
from sightline.training.datasets.click_graph import ClickGraph
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.datasets.splits import HeldOut
from sightline.training.evaluation.relevance import RELEVANT_GRADE, JudgedPairs
from sightline.training.evaluation.retrieval import QueryScores, score_queries
from sightline.training.evaluation.strength import Groups, Mask

_BLOCK = 64
"""Queries ranked at once: every picture of the data set is in the gallery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """How the queries were drawn of more."""

    of: int
    """How many there were."""
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureQueries:
    """q stored pictures to be asked by, and which of all pictures answer each."""

    anchors: NDArray[np.int32]
    """(q,) their rows among the pictures."""
    truth: JudgedPairs
    """What is relevant or judged so for each, among all pictures; itself is no result."""
    groups: Groups
    """What each is about; of a kind that was held out, training saw no click."""
    drawn: Drawn | None = None
    """None: all that there were."""

    def at(self, queries: NDArray[np.integer], *, seed: int) -> Self:
        """Some of the queries, which were drawn with this seed."""
        return type(self)(
            anchors=self.anchors[queries],
            truth=self.truth.at(queries),
            groups=self.groups.at(queries),
            drawn=Drawn(of=len(self.anchors), seed=seed),
        )


def clicks_as_truth(pairs: ClickPairs, held_out: HeldOut, later: Mask) -> PictureQueries:
    """Ask by the anchors that training did not see, and count what clicks lead to as relevant.

    Relevant is what lies within two clicks of the anchor, by all clicks there are: what was
    preferred for it, the anchors that share a preferred picture with it, and what was preferred
    for these. Whatever a pair's grade, its picture counts for the binary measures, since a pair is
    a preference; nDCG tells the higher grades apart.

    Args:
        pairs: n pairs, numbered by the pictures of the data set.
        held_out: the kinds of which training saw nothing, and the pictures of the other kinds.
        later: (n,) pairs of anchors that were first asked by after training's last.
    """
    unseen = held_out.test | held_out.asked | (later & held_out.train)
    anchors, query = np.unique(pairs.anchor[unseen], return_inverse=True)
    grades = np.maximum(pairs.grade[unseen], RELEVANT_GRADE)
    direct = zip(query.tolist(), pairs.positive[unseen].tolist(), grades.tolist(), strict=True)
    found = chain(direct, _near(pairs, anchors))
    truth = JudgedPairs.of(
        found, queries=len(anchors), gallery=len(pairs.images), own=anchors.astype(np.int32)
    )
    groups = Groups(
        clusters=held_out.clusters[anchors],
        clicked=~held_out.held[anchors],
        slices=hot_and_cold(np.bincount(pairs.anchor, minlength=len(pairs.images))[anchors]),
    )
    return PictureQueries(anchors=anchors.astype(np.int32), truth=truth, groups=groups)


def hot_and_cold(pairs: NDArray[np.int64]) -> dict[str, Mask]:
    """The queries that people asked by more often than by the median one, and the others.

    Args:
        pairs: (q,) how many have the query's picture as their anchor; all alike: no slices.
    """
    hot = pairs > np.quantile(pairs, 0.5) if len(pairs) else pairs > 0
    return {"hot": hot, "cold": ~hot} if hot.any() else {}


def _near(pairs: ClickPairs, anchors: NDArray[np.int32]) -> Iterator[tuple[int, int, int]]:
    """(query, picture, grade) of all that lies within two clicks of each anchor, itself apart."""
    near = ClickGraph.of(pairs).within_two(anchors)
    for query, anchor in enumerate(anchors.tolist()):
        yield from (
            (query, picture, RELEVANT_GRADE)
            for picture in near[query].tolist()
            if picture != anchor
        )


def score_by_clicks(
    features: PictureFeatures, projection: AnyProjection, queries: PictureQueries
) -> QueryScores:
    """Rank all pictures for every query under a projection of their features."""
    vectors = project_all(projection, features.features)
    return score_queries(vectors[queries.anchors], vectors, queries.truth, block=_BLOCK)
