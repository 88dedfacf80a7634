"""What is known of one search when its epoch closes; `packed_page` holds it until then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sightline.stream_workers.labels.codecs.interactions import Beacon, Item, Page


class Impression(NamedTuple):
    """A page as it lies in the log."""

    offset: int
    event_id: str
    issued_ms: int
    page: Page


class HeldBeacon(NamedTuple):
    """A beacon as it lies in the log."""

    offset: int
    issued_ms: int
    received_ms: int
    beacon: Beacon


class Act(NamedTuple):
    """One item at its own time, and its place in the log."""

    offset: int
    place: int
    own_ms: int
    item: Item


@dataclass(slots=True)
class OpenSearch:
    """Everything that names one search id in one epoch of one partition, by offset."""

    impressions: list[Impression] = field(default_factory=list)
    beacons: list[HeldBeacon] = field(default_factory=list)
