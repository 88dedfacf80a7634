"""A question in, each pair's ranking out, and the page that is made of one or two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from sightline.engine.records import Hit, IndexedImage, SearchRequest
from sightline.search_api.http.request_fields import NearDuplicates, SearchFields
from sightline.search_api.search.nearest import Question
from sightline.search_api.search.rerank import (
    LookedAt,
    Policy,
    RankedPage,
    duplicate_policies,
    page_of,
)
from sightline.search_api.search.team_draft import SPARE, interleaved

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightline.engine.serving.pair import ServingPair
    from sightline.search_api.search.stopwatch import Stopwatch

_FIRST_OF_A_CLUSTER = 8
"""Images of a cluster read to find the first of equal ones: older look-alikes are among them."""


class Policies(Protocol):
    """Makes the policies of a page afresh: each remembers the page that it was asked about."""

    def __call__(self) -> list[Policy]:
        """New policies; an empty list keeps look-alikes on the page."""


@dataclass(frozen=True, slots=True)
class Rankings:
    """The rankings of one search, and what it takes to make a page of them."""

    asked: SearchRequest
    """What the pair that serves was asked."""
    own: RankedPage
    beside: RankedPage | None
    """Another ranking, where both fill the page."""
    policies: Policies
    nonce: bytes | None = None
    """Begins the search's id, where it seeded chance; None: any will do."""

    def page(self, limit: int, search_id: str) -> RankedPage:
        """The page of the search of this id."""
        if self.beside is None:
            return self.own
        return interleaved(
            self.own, self.beside, limit=limit, search_id=search_id, policies=self.policies()
        )


def rankings_of(
    fields: SearchFields,
    pair: ServingPair,
    vectors: Sequence[NDArray[np.float32]],
    *,
    anchor: IndexedImage | None,
    bits: int,
    watch: Stopwatch,
    below: int = 0,
) -> Rankings:
    """Ask the pair, and the one beside it, each by its own vector.

    Args:
        fields: the question.
        pair: what answers.
        vectors: by each of its models; one alone where the other has nothing to ask by.
        anchor: what is asked by, if it is indexed.
        bits: how near look-alikes are.
        watch: is told how long it takes.
        below: so many results more than the page has, where one ranking answers.
    """
    mine = () if anchor is None else (anchor.image_id,)
    asked = [
        Question.of(*each, fields, besides=mine) for each in zip(pair.all, vectors, strict=False)
    ]
    spare = SPARE if len(asked) > 1 else below
    policies = partial(_policies, fields, bits, anchor)
    pages = [_ranked(fields, each, policies(), watch, spare=spare) for each in asked]
    return Rankings(asked[0].request, pages[0], pages[1] if len(pages) > 1 else None, policies)


def _policies(fields: SearchFields, bits: int, anchor: IndexedImage | None) -> list[Policy]:
    if fields.near_duplicates is NearDuplicates.KEEP:
        return []
    return duplicate_policies(bits=bits, anchor=anchor)


def _ranked(
    fields: SearchFields,
    asked: Question,
    policies: list[Policy],
    watch: Stopwatch,
    *,
    spare: int,
) -> RankedPage:
    def fetch(limit: int, passed: LookedAt) -> list[Hit]:
        with watch.stage("index"):
            return asked.nearest(limit, passed)

    def first(cluster: str) -> list[IndexedImage]:
        with watch.stage("index"):
            return asked.pair.visible.earliest(cluster, fields.tags, _FIRST_OF_A_CLUSTER)

    with watch.stage("rerank"):
        return page_of(fetch, fields.limit + spare, policies, first)
