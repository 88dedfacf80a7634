"""What reads ask the stores for: what is listed, what a caller may see, what holds a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sightline.engine.records import SearchRequest, Sight, TagFilter
from sightline.engine.vector_index.conditions import (
    Condition,
    HasOtherKeyword,
    LacksField,
    Where,
    all_of,
    has_keyword,
    none_of,
    points_of,
)
from sightline.engine.vector_index.payload import (
    ALLOWED,
    DECIDED,
    LISTED,
    NO_IMAGE_TYPE,
    SEARCHABLE,
    SHOWN,
)

IS_LISTED = all_of(has_keyword(SEARCHABLE, SHOWN))
"""What a search may return: listed by its owner and not blocked by the operator."""
IS_IMAGE = none_of(has_keyword("type", NO_IMAGE_TYPE))
"""Matches points that hold an image, not a decision only."""
IS_DECIDED = all_of(has_keyword("moderated", *DECIDED))
"""Matches points that hold a decision that can be read."""
WAS_LISTED = Where(
    must=(has_keyword("listing", LISTED),), must_not=(HasOtherKeyword("moderated", (ALLOWED,)),)
)
"""Matches the points that earlier releases show, in an index that has no `searchable` yet."""


def seen(image_ids: Sequence[str], sight: Sight) -> Where:
    """Matches those of the images' points that a read with this sight may find."""
    found: list[Condition] = [*IS_LISTED.must] if sight.listed else []
    if sight.owner_id is not None:
        found += [has_keyword("owner", sight.owner_id), LacksField("owner")]
    return Where(must=(points_of(image_ids),), should=tuple(found))


def visible(tags: TagFilter, *, cluster: str | None = None) -> Where:
    """The filter of every read for callers: what is listed, has the tags, is in the cluster."""
    must = [*IS_LISTED.must, *(has_keyword("tags", tag) for tag in tags.all_of)]
    if tags.any_of:
        must.append(has_keyword("tags", *tags.any_of))
    if cluster is not None:
        must.append(has_keyword("cluster", cluster))
    return Where(must=tuple(must), must_not=tuple(has_keyword("tags", tag) for tag in tags.none_of))


def visible_to(request: SearchRequest) -> Where:
    """The filter of a search: what is visible, less what the caller has seen already."""
    seen = visible(request.tags)
    barred = [*seen.must_not]
    if request.exclude_ids:
        barred.append(points_of(request.exclude_ids))
    if request.exclude_clusters:
        barred.append(has_keyword("cluster", *request.exclude_clusters))
    return replace(seen, must_not=tuple(barred))
