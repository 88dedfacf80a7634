"""A question in, each pair's ranking out, and the page that is made of one or two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from sightline.engine.records import Hit, IndexedImage, SearchRequest
from sightline.engine.vector_index.visible import VisibleIndex
from sightline.search_api.http.request_fields import NearDuplicates, SearchFields
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
"""Looked at for the first of equal pictures; look-alikes that came before it are among them."""


class Policies(Protocol):
    """Makes the policies of a page afresh: each remembers the page that it was asked about."""

    def __call__(self) -> list[Policy]:
        """None where look-alikes are to be kept."""


@dataclass(frozen=True, slots=True)
class Rankings:
    """The rankings of one search, and what it takes to make a page of them."""

    asked: SearchRequest
    """What the pair that serves was asked."""
    own: RankedPage
    beside: RankedPage | None
    """Another ranking, where both fill the page."""
    policies: Policies

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
        _asked(fields, each.query(vector), besides=mine)
        for each, vector in zip(pair.all, vectors, strict=False)
    ]
    spare = SPARE if len(asked) > 1 else below
    policies = partial(_policies, fields, bits, anchor)
    pages = [
        _ranked(fields, request, VisibleIndex(each.index), policies(), watch, spare=spare)
        for each, request in zip(pair.all, asked, strict=False)
    ]
    return Rankings(asked[0], pages[0], pages[1] if len(pages) > 1 else None, policies)


def _policies(fields: SearchFields, bits: int, anchor: IndexedImage | None) -> list[Policy]:
    if fields.near_duplicates is NearDuplicates.KEEP:
        return []
    return duplicate_policies(bits=bits, anchor=anchor)


def _ranked(
    fields: SearchFields,
    asked: SearchRequest,
    visible: VisibleIndex,
    policies: list[Policy],
    watch: Stopwatch,
    *,
    spare: int,
) -> RankedPage:
    def fetch(limit: int, passed: LookedAt) -> list[Hit]:
        with watch.stage("index"):
            return visible.search(
                replace(
                    asked,
                    limit=limit,
                    exclude_ids=tuple(sorted(passed.image_ids.union(asked.exclude_ids))),
                    exclude_clusters=tuple(sorted(passed.clusters)),
                )
            )

    def first(cluster: str) -> list[IndexedImage]:
        with watch.stage("index"):
            return visible.earliest(cluster, fields.tags, _FIRST_OF_A_CLUSTER)

    with watch.stage("rerank"):
        return page_of(fetch, fields.limit + spare, policies, first)


def _asked(
    fields: SearchFields, vector: NDArray[np.float32], *, besides: tuple[str, ...]
) -> SearchRequest:
    """The nearest so many images, as the index is asked when nothing has been passed over yet."""
    return SearchRequest(
        vector=vector,
        limit=fields.limit,
        tags=fields.tags,
        exclude_ids=besides,
        settle_ties=fields.near_duplicates is NearDuplicates.KEEP,
        exact=fields.exact,
    )
