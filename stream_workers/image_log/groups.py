"""The consumer groups of the image topics: each lane has one, and so have the decisions."""

from __future__ import annotations

from sightline.engine.settings import WorkerSettings
from sightline.schemas.indexed import Lane


def lane_group(worker: WorkerSettings, lane: Lane) -> str:
    """The group of the index workers that share one lane."""
    return f"{worker.group}-{lane}"


def moderation_group(worker: WorkerSettings) -> str:
    """The group of those who share and apply the operator's decisions."""
    return f"{worker.group}-moderation"
