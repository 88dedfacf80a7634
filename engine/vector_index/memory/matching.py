"""What a search asks of images in memory: which it wants, in which order, and what it is shown."""

from __future__ import annotations

from dataclasses import replace

from sightline.engine.records import Hit, IndexedImage, SearchRequest, TagFilter
from sightline.engine.vector_index.payload import to_millisecond


def asked_for(image: IndexedImage, request: SearchRequest) -> bool:
    """Whether a search may find the image: listed, not excluded, and with the tags."""
    return (
        image.listed
        and image.image_id not in request.exclude_ids
        and image.cluster not in request.exclude_clusters
        and has_tags(set(getattr(image.state, "tags", ())), request.tags)
    )


def has_tags(tags: set[str], wanted: TagFilter) -> bool:
    """Whether an image with these tags passes a filter by tags."""
    return (
        (not wanted.any_of or not tags.isdisjoint(wanted.any_of))
        and tags.issuperset(wanted.all_of)
        and tags.isdisjoint(wanted.none_of)
    )


def page_order(hit: Hit) -> tuple[float, int, str]:
    """By score, then the first published, then the id; see `ranking.ranked_page`."""
    since = 0 if hit.image.since is None else to_millisecond(hit.image.since)
    return -hit.score, since, hit.image.image_id


def without_unasked(
    image: IndexedImage, *, vectors: bool = False, features: bool = False
) -> IndexedImage:
    """The image without what was not asked for: its vector, its features."""
    return replace(
        image,
        vector=image.vector if vectors else None,
        features=image.features if features else None,
    )
