"""Closed searches to what a position-bias fit needs: who was clicked how often at which place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from sightline.engine.event_log.events import events_in
from sightline.engine.exploration import is_explored
from sightline.engine.records import Message
from sightline.schemas.envelope import EventData
from sightline.schemas.labels import EpochClosed, SearchClosed, SearchesClosed, Verdict

Place = dict[int, tuple[int, int]]
"""Position to (times shown, times clicked)."""
_Held = defaultdict[tuple[str, int, int], dict[str, SearchClosed]]
"""By topic, source partition and epoch, then by search id."""


@dataclass(slots=True)
class Views:
    """Counts each person's search in a closed epoch once: what was shown, and what clicked."""

    images: dict[tuple[str, str], Place] = field(default_factory=dict)
    """(anchor, image) to where it was shown and clicked."""
    searches: int = 0
    explored: int = 0
    """Those of the searches whose page chance had varied."""
    first_epoch: int | None = None
    last_epoch: int | None = None

    def add(self, search: SearchClosed, epoch: int) -> None:
        """Counts the pages and clicks of one search, which is of `epoch`."""
        self.searches += 1
        self.explored += is_explored(search.variant)
        self.first_epoch = epoch if self.first_epoch is None else min(self.first_epoch, epoch)
        self.last_epoch = epoch if self.last_epoch is None else max(self.last_epoch, epoch)
        for image in search.shown:
            places = self.images.setdefault((search.anchor_id, image.image_id), {})
            shown, clicked = places.get(image.position, (0, 0))
            places[image.position] = (shown + 1, clicked + (image.clicks > 0))


def views_of(messages: Iterable[Message]) -> Views:
    """Every search by a person whose epoch its source has closed.

    Args:
        messages: of topics of closed searches; unreadable records are passed over.
    """
    held: _Held = defaultdict(dict)
    closed: dict[tuple[str, int], int] = {}
    for message, event in events_in(messages):
        _take(message.topic, event.data, held, closed)
    views = Views()
    for (topic, partition, epoch), searches in sorted(held.items()):
        if epoch <= closed.get((topic, partition), -1):
            for search in searches.values():
                views.add(search, epoch)
    return views


def _take(topic: str, data: EventData, held: _Held, closed: dict[tuple[str, int], int]) -> None:
    if isinstance(data, SearchesClosed):
        searches = held[topic, data.source_partition, data.epoch]
        for search in data.searches:
            if search.verdict is Verdict.PERSON:
                searches.setdefault(search.search_id, search)
    elif isinstance(data, EpochClosed):
        source = (topic, data.source_partition)
        closed[source] = max(closed.get(source, 0), data.epoch)
