"""From scored points to a page that is the same each time: by score, ties by image id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sightline.engine.records import Hit
from sightline.engine.vector_index.stored_points import StoredPoint, images_of

SLACK = 8
"""Fetched beyond the page, so that a tie at its edge is seen whole."""
MOST_TIED = 4_096
"""Beyond so many equal scores at the edge the store's own order decides."""


class ScoredPayload(NamedTuple):
    """What a store returns for one point."""

    score: float
    payload: Mapping[str, Any]


def ranked_page(fetch: Callable[[int], Sequence[ScoredPayload]], limit: int) -> list[Hit]:
    """The `limit` best by (-score, image id), however the store orders equal scores.

    Args:
        fetch: asks the store for its n best.
        limit: length of the page.
    """
    n = limit + SLACK
    found = fetch(n)
    while _tied_at_the_edge(found, limit, n) and n < MOST_TIED:
        n = min(4 * n, MOST_TIED)
        found = fetch(n)
    edge = _edge_score(found, limit)
    hits = [
        Hit(image=image, score=point.score)
        for point in found
        if point.score >= edge
        for image in images_of([StoredPoint(point.payload)])
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.image.image_id))[:limit]


def _edge_score(found: Sequence[ScoredPayload], limit: int) -> float:
    scores = sorted((point.score for point in found), reverse=True)
    return scores[limit - 1] if len(scores) >= limit else float("-inf")


def _tied_at_the_edge(found: Sequence[ScoredPayload], limit: int, asked: int) -> bool:
    """Whether the store may hold more points of the score at the page's edge."""
    if len(found) < asked:
        return False
    return min(point.score for point in found) >= _edge_score(found, limit)
