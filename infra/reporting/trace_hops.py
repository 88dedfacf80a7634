"""The hops of a search and of the image that it asked by, as the log has them, and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.table import Table

from sightline.engine.errors import NotFound
from sightline.engine.event_log.events import events_in
from sightline.engine.ports import EventLog
from sightline.engine.records import Message
from sightline.engine.search_ids import IssuedSearch
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.images import ImageState
from sightline.schemas.indexed import ImageIndexed
from sightline.schemas.interactions import ResultsInteracted
from sightline.schemas.labels import SearchesClosed, TripleMined
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import (
    IMAGES,
    IMAGES_BACKFILL,
    IMAGES_INDEXED,
    INTERACTIONS,
    SEARCHES_CLOSED,
    TRAINING_TRIPLES,
)

_OF_IMAGES = (IMAGES.name, IMAGES_BACKFILL.name, IMAGES_INDEXED.name)
_OF_SEARCHES = (SEARCHES_CLOSED.name, TRAINING_TRIPLES.name)
UPLOAD = "upload in the log"
TRIPLE = "first triple in the log"
_INDEXED = ("taken by the worker", "bytes read", "embedded", "searchable")
PLACES = (
    "upload told (its own clock)",
    UPLOAD,
    *_INDEXED,
    "search answered",
    "impression in the log",
    "click received",
    "click in the log",
    "epoch closed",
    "closed search in the log",
    TRIPLE,
)
"""The hops in the order of the loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One step on the way of a search or an image, and when it happened."""

    name: str
    at: datetime


def is_whole(found: Sequence[Hop]) -> bool:
    """Whether the way has come to its triple."""
    return any(hop.name == TRIPLE for hop in found)


def hops(
    log: EventLog,
    search_id: str,
    *,
    issued: IssuedSearch | None = None,
    since: datetime | None = None,
) -> list[Hop]:
    """What the log knows of a search and of the image that it asked by; see `in_order`.

    Args:
        issued: what the id carries: in which partition to look; None: in all of them.
        since: records of the search before are not read; None: from the log's beginning.

    Raises:
        NotFound: no impression of this search.
    """
    actor = None if issued is None else issued.actor_id
    told = list(_events(log, [INTERACTIONS.name], search_id, key=actor, since=since))
    anchor = next(
        (
            event.data.anchor_id
            for _, event in told
            if isinstance(event.data, ResultsShown) and event.data.search_id == search_id
        ),
        None,
    )
    if anchor is None:
        raise NotFound(f"the log knows no search {search_id[:40]}…")
    told += _events(log, _OF_IMAGES, anchor, key=anchor)
    told += _events(log, _OF_SEARCHES, search_id, key=anchor, since=since)
    found: dict[str, datetime] = {}
    for message, event in told:
        for hop in _hops_of(message, event, anchor, search_id):
            found.setdefault(hop.name, hop.at)
    return in_order(found)


def in_order(found: Mapping[str, datetime]) -> list[Hop]:
    """The hops in order of time, to the millisecond; within one, in the order of the loop.

    The log's times have no finer part, so that a click would seem to be there before it came.
    """
    hops_to_ms = [
        Hop(name=name, at=at.replace(microsecond=at.microsecond // 1_000 * 1_000))
        for name, at in found.items()
    ]
    return sorted(hops_to_ms, key=lambda hop: (hop.at, PLACES.index(hop.name)))


def unknown(found: Sequence[Hop]) -> str | None:
    """What of the image's way the log cannot tell, and why; None: nothing."""
    names = {hop.name for hop in found}
    if UPLOAD in names:
        return None
    if names.isdisjoint(_INDEXED):
        return "the image's way is unknown: the search was by an upload, or the log has forgotten"
    return "when the image was uploaded is unknown: the log no longer has the event that brought it"


def _events(
    log: EventLog,
    topics: Sequence[str],
    word: str,
    *,
    key: str | None = None,
    since: datetime | None = None,
) -> Iterator[tuple[Message, Event[EventData]]]:
    """Events whose bytes hold a word: all others need no decoding."""
    return events_in(log.read(topics, key=key, since=since), word)


def _hops_of(
    message: Message, event: Event[EventData], anchor_id: str, search_id: str
) -> Iterator[Hop]:
    data, at = event.data, message.timestamp
    if isinstance(data, ImageState) and data.image_id == anchor_id:
        yield Hop(name="upload told (its own clock)", at=event.time)
        yield Hop(name=UPLOAD, at=at)
    elif isinstance(data, ImageIndexed) and data.image_id == anchor_id:
        times = data.times
        moments = (times.consumed, times.fetched, times.embedded, times.searchable)
        told = zip(_INDEXED, moments, strict=True)
        yield from (Hop(name=name, at=moment) for name, moment in told if moment)
    elif isinstance(data, ResultsShown) and data.search_id == search_id:
        yield Hop(name="search answered", at=data.issued_at)
        yield Hop(name="impression in the log", at=at)
    elif isinstance(data, ResultsInteracted) and data.search_id == search_id:
        yield Hop(name="click received", at=data.received_at)
        yield Hop(name="click in the log", at=at)
    elif isinstance(data, SearchesClosed):
        if any(search.search_id == search_id for search in data.searches):
            yield Hop(name="epoch closed", at=event.time)
            yield Hop(name="closed search in the log", at=at)
    elif isinstance(data, TripleMined) and data.search_id == search_id:
        yield Hop(name=TRIPLE, at=at)


def trace_table(hops: Sequence[Hop]) -> Table:
    """One row a hop: when, how long after the one before, how long after the first."""
    rows = Table("hop", "at", "after the one before", "after the first")
    before = first = hops[0].at
    for hop in hops:
        rows.add_row(
            hop.name,
            hop.at.strftime("%H:%M:%S.%f")[:-3],
            _span((hop.at - before).total_seconds()),
            _span((hop.at - first).total_seconds()),
        )
        before = hop.at
    return rows


def _span(seconds: float) -> str:
    return f"{seconds * 1_000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
