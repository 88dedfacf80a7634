"""What models are measured on: queries, what answers them, and pictures of both for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.engine.pictures.prepare import render
from sightline.engine.settings import DecodeSettings
from sightline.training.evaluation.gate import GateLimits
from sightline.training.evaluation.paired import Clusters
from sightline.training.evaluation.retrieval import QueryScores
from sightline.training.evaluation.served import ServedAsBuilt
from sightline.training.evaluation.tag_slices import TagSlices
from sightline.training.models.candidates import Candidate

EXAMPLES, SHOWN_PICTURES = 8, 10
"""So many queries that rose, and that fell, are shown with so many of their first pictures."""
SERVED_PICTURES = 200
"""On so many pictures the model as served is compared with the model as trained."""
LEAST_KINDS = GateLimits().min_slice_clusters
"""A tag on fewer kinds is no slice: a bootstrap over them is not honest."""
_SIDE = 96


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one model finds first for a query."""

    model: str
    average_precision: float
    found: tuple[tuple[bytes | None, bool], ...]
    """Small JPEGs, best first, and whether each is relevant; None: it cannot be read any more."""


@dataclass(frozen=True, slots=True)
class Example:
    """A query with what the two models find for it."""

    query: bytes | None
    """A small JPEG; None: it cannot be read any more."""
    label: str
    rankings: tuple[Ranking, ...]


class QuerySet(Protocol):
    """Queries with their ground truth, on which any model can be measured."""

    @property
    def drawn_by(self) -> str:
        """What a cluster is called: `label` or `kind`."""

    @property
    def clusters(self) -> Clusters:
        """(q,) what each query is about: drawn together for the bounds."""

    def truth(self) -> str:
        """Where the relevance comes from, and how much there is of it, for a person."""

    def domains(self) -> Mapping[str, NDArray[np.bool_]]:
        """(q,) per name of a slice that is worth a line of its own."""

    def tags(self) -> TagSlices:
        """The slices by tag, and which tags are on too few kinds to be one."""

    def scores(self, model: Candidate) -> QueryScores:
        """Measures every query under a model, once each call."""

    def examples(self, against: Candidate, model: Candidate) -> Sequence[Example]:
        """The queries that moved most from one model to the other, up and down."""

    def as_served(self, model: Candidate) -> ServedAsBuilt:
        """The model written to its file, read again and run as the API runs it."""


def small_picture(data: bytes) -> bytes:
    """A JPEG of at most 96 pixels, for pages. Raises `BadImage`."""
    return render(data, limits=DecodeSettings(), max_side=_SIDE)
