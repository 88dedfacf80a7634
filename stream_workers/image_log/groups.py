"""The consumer groups of the image topics: each lane has one, and so have the decisions.

Each generation of the index has such groups of its own, whose names begin alike; those of the first
one begin as `worker.group` says.
"""

from __future__ import annotations

from sightline.schemas.indexed import Lane
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, IMAGES_MODERATION


def lane_group(group: str, lane: Lane) -> str:
    """Names the group of the index workers that share one lane of a generation."""
    return f"{group}-{lane}"


def moderation_group(group: str) -> str:
    """Names the group of those who share a generation's part of the operator's decisions."""
    return f"{group}-moderation"


def generation_groups(group: str) -> dict[str, str]:
    """The consumer group of each topic that a generation's workers read."""
    return {
        IMAGES.name: lane_group(group, Lane.LIVE),
        IMAGES_BACKFILL.name: lane_group(group, Lane.BACKFILL),
        IMAGES_MODERATION.name: moderation_group(group),
    }
