"""From scored points to a page that is the same each time: by score, ties by who came first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sightline.engine.records import Hit, Nearby
from sightline.engine.vector_index.stored_points import StoredPoint, shown_images

SLACK = 8
"""Fetched beyond the page, so that a tie at its edge is seen whole."""
MOST_TIED = 4_096
"""Beyond so many equal scores at the edge the store's own order decides."""
ORDERING = ("image_id", "since")
"""The payload fields that decide a tie: a few bytes, where a whole payload has thousands."""
CLUSTER = ("cluster",)
"""The payload field that tells a picture's look-alikes."""


class ScoredPoint(NamedTuple):
    """What a store returns for one point."""

    point: str
    score: float
    payload: Mapping[str, Any]


class Asked(NamedTuple):
    """What the store is asked for, of what the search's filter lets through."""

    limit: int
    fields: tuple[str, ...] | None = None
    """The fields of the payload to return; None: all."""
    points: tuple[str, ...] | None = None
    """Only these; None: any."""


def ranked_page(
    fetch: Callable[[Asked], Sequence[ScoredPoint]], limit: int, *, settle_ties: bool
) -> list[Hit]:
    """The `limit` best by (-score, since, image id), however the store orders equal scores.

    Among equal pictures the one whose bytes were published first comes first, whatever its id.

    Args:
        fetch: asks the store for its best.
        limit: length of the page.
        settle_ties: whether what ties at the page's edge is looked at whole.
    """
    found = fetch(Asked(limit + SLACK))
    if settle_ties and _tied_at_the_edge(found, limit, limit + SLACK):
        found = fetch(Asked(limit, points=_first_of_the_tied(fetch, limit)))
    best = sorted(found, key=_order)[:limit]
    return [
        Hit(image=image, score=point.score)
        for point in best
        for image in shown_images([StoredPoint(point.payload)])
    ]


def nearby(found: Sequence[ScoredPoint]) -> Nearby:
    """The clusters of points, the best first, and the best one's score.

    A point that has no cluster, or a damaged one, has none here, but it has its score.
    """
    best = sorted(found, key=lambda point: -point.score)
    named = (point.payload.get("cluster") for point in best)
    return Nearby(
        clusters=tuple(cluster for cluster in named if isinstance(cluster, str)),
        similarity=best[0].score if best else None,
    )


def _first_of_the_tied(
    fetch: Callable[[Asked], Sequence[ScoredPoint]], limit: int
) -> tuple[str, ...]:
    """The points of the page, from as many as tie at its edge; only what orders them is read."""
    n = limit + SLACK
    while True:
        n = min(4 * n, MOST_TIED)
        found = fetch(Asked(n, ORDERING))
        if n == MOST_TIED or not _tied_at_the_edge(found, limit, n):
            return tuple(point.point for point in sorted(found, key=_order)[:limit])


def _order(point: ScoredPoint) -> tuple[float, int, str]:
    """Points of before there was `since` were there first."""
    said = point.payload
    return -point.score, int(said.get("since", 0)), str(said.get("image_id", point.point))


def _tied_at_the_edge(found: Sequence[ScoredPoint], limit: int, asked: int) -> bool:
    """Whether the store may hold more points of the score at the page's edge."""
    if len(found) < asked:
        return False
    scores = sorted((point.score for point in found), reverse=True)
    return scores[-1] >= scores[limit - 1]
