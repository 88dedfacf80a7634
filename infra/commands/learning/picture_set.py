"""Stored pictures and what people clicked or judged in, scores of models and example pages out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.infra.commands.learning.query_set import (
    EXAMPLES,
    LEAST_KINDS,
    SERVED_PICTURES,
    SHOWN_PICTURES,
    Example,
    Ranking,
)
from sightline.infra.commands.learning.stored_pictures import StoredPictures
from sightline.training.datasets.features import PictureFeatures
from sightline.training.evaluation.click_truth import PictureQueries
from sightline.training.evaluation.examples import moved_most, nearest
from sightline.training.evaluation.paired import Clusters
from sightline.training.evaluation.relevance import RELEVANT_GRADE
from sightline.training.evaluation.retrieval import QueryScores, score_queries
from sightline.training.evaluation.served import ServedAsBuilt, compare_served
from sightline.training.evaluation.strength import Groups
from sightline.training.evaluation.tag_slices import TagSlices, tag_slices
from sightline.training.models.candidates import Candidate
from sightline.training.models.released_head import vectors_as_served

MakeQueries = Callable[[PictureFeatures], PictureQueries]
_BLOCK = 64
"""Queries ranked at once: all the pictures are in the gallery."""


class PictureSet:
    """Stored pictures that are asked by again; see `QuerySet`.

    Args:
        seen: the pictures, seen by networks.
        first: the model by whose network it is found out which of them can be read.
        named: what the truth is, for a person.
        queries_of: makes the queries, once that is known.
        judged: the same pictures asked by what people graded, where clicks are the truth.

    Raises:
        PartUnavailable: the store did not answer.
    """

    drawn_by = "kind"
    """See `QuerySet`."""

    def __init__(
        self,
        seen: StoredPictures,
        first: Candidate,
        named: str,
        queries_of: MakeQueries,
        judged: PictureSet | None = None,
    ) -> None:
        self._seen = seen
        self._named = named
        self._images = seen.features(first).images
        self._queries = queries_of(seen.features(first))
        self.judged = judged
        """What people graded among the same pictures; None: nobody did, or it is this truth."""

    def __len__(self) -> int:
        """Counts the queries that there are, in all slices together."""
        return len(self._queries.anchors)

    @property
    def clusters(self) -> Clusters:
        """The kinds of the queries; see `QuerySet.clusters`."""
        return self._queries.groups.clusters

    @property
    def groups(self) -> Groups:
        """What the queries are about, for the gate."""
        return self._queries.groups

    def truth(self) -> str:
        """See `QuerySet.truth`."""
        kinds, among, drawn = len(np.unique(self.clusters)), len(self._images), self._queries.drawn
        of = f" (drawn of {drawn.of}, seed {drawn.seed})" if drawn else ""
        return f"{self._named}: {len(self)} queries{of} of {kinds} kinds among {among} pictures"

    def domains(self) -> Mapping[str, NDArray[np.bool_]]:
        """Kinds that training saw clicks of and others, where there are both; the gate's slices."""
        groups, clicked = self._queries.groups, self._queries.groups.clicked
        if clicked.all() or not clicked.any():
            return groups.slices
        return {"kinds clicked": clicked, "kinds not clicked": ~clicked, **groups.slices}

    def tags(self) -> TagSlices:
        """See `QuerySet.tags`."""
        tags = [self._seen.tags(self._images[row]) for row in self._queries.anchors]
        return tag_slices(tags, self.clusters, least=LEAST_KINDS)

    def scores(self, model: Candidate) -> QueryScores:
        """See `QuerySet.scores`."""
        vectors = model.vectors(self._seen.features(model).features)
        queries = self._queries
        return score_queries(vectors[queries.anchors], vectors, queries.truth, block=_BLOCK)

    def examples(self, against: Candidate, model: Candidate) -> Sequence[Example]:
        """See `QuerySet.examples`."""
        both = [(each, self.scores(each)) for each in (against, model)]
        chosen = moved_most(both[0][1], both[1][1], EXAMPLES)
        rankings = [self._rankings(each, chosen, found) for each, found in both]
        return [
            Example(self._shown(row), self._images[row], (before, after))
            for row, before, after in zip(self._queries.anchors[chosen], *rankings, strict=True)
        ]

    def as_served(self, model: Candidate) -> ServedAsBuilt:
        """See `QuerySet.as_served`."""
        some = self._images[:SERVED_PICTURES]
        crops = self._seen.crops(some, model.source.framing)
        if not crops:
            return ServedAsBuilt.of_nothing(unread=len(some))
        trained = model.vectors(self._seen.features(model).features[[*crops]])
        seen = np.stack([*crops.values()])
        served = vectors_as_served(model, self._seen.runtime(model), seen)
        return compare_served(trained, served, unread=len(some) - len(crops))

    def _rankings(
        self, model: Candidate, chosen: NDArray[np.intp], scores: QueryScores
    ) -> list[Ranking]:
        vectors = model.vectors(self._seen.features(model).features)
        anchors = self._queries.anchors[chosen]
        found = nearest(vectors[anchors], vectors, SHOWN_PICTURES + 1)
        return [
            Ranking(model.name, float(scores.average_precision[at]), self._found(at, own, rows))
            for at, own, rows in zip(chosen, anchors, found, strict=True)
        ]

    def _found(
        self, query: int, own: int, rows: NDArray[np.intp]
    ) -> tuple[tuple[bytes | None, bool], ...]:
        relevant = self._queries.truth.grades(query, query + 1)[0] >= RELEVANT_GRADE
        others = [row for row in rows if row != own][:SHOWN_PICTURES]
        return tuple((self._shown(row), bool(relevant[row])) for row in others)

    def _shown(self, row: int) -> bytes | None:
        return self._seen.small(self._images[row])
