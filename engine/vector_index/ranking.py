"""From scored points to a page that is the same each time: by score, ties by who came first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sightline.engine.records import Hit
from sightline.engine.vector_index.stored_points import StoredPoint, shown_image

SLACK = 8
"""Fetched beyond the page, so that a tie at its edge is seen whole."""
MOST_TIED = 4_096
"""Beyond so many equal scores at the edge the store's own order decides."""
ORDERING = ("image_id", "since")
"""The payload fields that decide a tie: a few bytes, where a whole payload has thousands."""
CLUSTER = ("cluster",)
"""The payload field that tells a picture's look-alikes."""


class ScoredPoint(Protocol):
    """A point that a search found, as the clients of both stores tell it.

    The embedded engine makes id and payload anew at each look, which costs 2 and 5 µs (measured).
    """

    @property
    def id(self) -> object:
        """The point: text, or what turns into it."""

    @property
    def score(self) -> float:
        """The cosine of its vector and the query."""

    @property
    def payload(self) -> Mapping[str, Any] | None:
        """Those of its fields that were asked for; None: it has none."""


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
    return [
        Hit(image=image, score=point.score)
        for point, payload in _best(found, limit)
        if (image := shown_image(StoredPoint(payload))) is not None
    ]


def clusters_of(found: Sequence[ScoredPoint]) -> tuple[str, ...]:
    """The clusters of points, the best point's first; a point may have none, or a damaged one."""
    best = sorted(found, key=lambda point: -point.score)
    named = ((point.payload or {}).get("cluster") for point in best)
    return tuple(dict.fromkeys(cluster for cluster in named if isinstance(cluster, str)))


def _first_of_the_tied(
    fetch: Callable[[Asked], Sequence[ScoredPoint]], limit: int
) -> tuple[str, ...]:
    """The points of the page, from as many as tie at its edge; only what orders them is read."""
    n = limit + SLACK
    while True:
        n = min(4 * n, MOST_TIED)
        found = fetch(Asked(n, ORDERING))
        if n == MOST_TIED or not _tied_at_the_edge(found, limit, n):
            return tuple(str(point.id) for point, _ in _best(found, limit))


def _best(found: Sequence[ScoredPoint], limit: int) -> list[tuple[ScoredPoint, Mapping[str, Any]]]:
    """The first points with their payloads; nobody looks at one of a score below the last's."""
    edge = _edge_score(found, limit)
    told = [(point, point.payload or {}) for point in found if point.score >= edge]
    return sorted(told, key=_order)[:limit]


def _order(told: tuple[ScoredPoint, Mapping[str, Any]]) -> tuple[float, int, str]:
    """Points of before there was `since` were there first."""
    point, said = told
    return -point.score, int(said.get("since", 0)), str(said.get("image_id") or point.id)


def _edge_score(found: Sequence[ScoredPoint], limit: int) -> float:
    scores = sorted((point.score for point in found), reverse=True)
    return scores[limit - 1] if len(scores) >= limit else -math.inf


def _tied_at_the_edge(found: Sequence[ScoredPoint], limit: int, asked: int) -> bool:
    """Whether the store may hold more points of the score at the page's edge."""
    if len(found) < asked:
        return False
    return min(point.score for point in found) >= _edge_score(found, limit)
