"""What the topics hold about one search: page, acts, closing, triples, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.interactions import ResultsInteracted
from sightline.schemas.labels import TripleMined, TripleRetracted
from sightline.schemas.late import InteractionsOmitted
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import (
    INTERACTIONS,
    INTERACTIONS_IMPORTED,
    INTERACTIONS_LATE,
    SEARCHES_CLOSED,
    SEARCHES_CLOSED_IMPORTED,
    TRAINING_TRIPLES,
)
from sightline.stream_workers.labels.mining import clicked_by_people
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.wire_searches import ClosedRecord, Search
from sightline.stream_workers.labels.wire_searches import decode as decode_closed

Read = Callable[[Sequence[str]], Iterable[Message]]
"""Whole topics, from beginning to end (`read_topics`)."""
INTERACTION_TOPICS = (INTERACTIONS.name, INTERACTIONS_IMPORTED.name)
CLOSED_TOPICS = (SEARCHES_CLOSED.name, SEARCHES_CLOSED_IMPORTED.name)


@dataclass(slots=True)
class Evidence:
    """Of one search."""

    shown: ResultsShown | None = None
    beacons: list[ResultsInteracted] = field(default_factory=list)
    omitted: list[InteractionsOmitted] = field(default_factory=list)
    closed: Search | None = None
    epoch: int | None = None
    clicked: frozenset[str] = frozenset()
    """What people gave a grade for its anchor in its epoch and the H before."""
    mined: dict[str, TripleMined] = field(default_factory=dict)
    retracted: dict[str, TripleRetracted] = field(default_factory=dict)


def find_triple(read: Read, triple_id: str) -> TripleMined | None:
    """The triple of that id in the labelled topic; None if it is not there (any more)."""
    for event in _events(read, (TRAINING_TRIPLES.name,), triple_id):
        if event.id == triple_id and isinstance(event.data, TripleMined):
            return event.data
    return None


def gather(read: Read, search_id: str, rules: LabelRules) -> Evidence:
    """Everything that the topics still hold about a search."""
    found = Evidence()
    for event in _events(read, (*INTERACTION_TOPICS, INTERACTIONS_LATE.name), search_id):
        _add_interaction(found, event.data, search_id)
    _add_closed(found, read, search_id, rules)
    for event in _events(read, (TRAINING_TRIPLES.name,), search_id):
        if isinstance(event.data, TripleMined) and event.data.search_id == search_id:
            found.mined[event.id] = event.data
    for event in _events(read, (TRAINING_TRIPLES.name,), TripleRetracted.TYPE):
        data = event.data
        if isinstance(data, TripleRetracted) and data.triple_id in found.mined:
            found.retracted.setdefault(data.triple_id, data)
    return found


def _events(read: Read, topics: Sequence[str], word: str) -> Iterator[Event[Any]]:
    """Events whose bytes hold a word: all others need no decoding."""
    wanted = word.encode()
    for message in read(topics):
        if wanted in (message.value or b""):
            try:
                yield decode(message.value)
            except ContractError:
                continue


def _add_interaction(found: Evidence, data: object, search_id: str) -> None:
    if isinstance(data, ResultsShown) and data.search_id == search_id:
        found.shown = found.shown or data
    elif isinstance(data, ResultsInteracted) and data.search_id == search_id:
        found.beacons.append(data)
    elif isinstance(data, InteractionsOmitted) and data.search_id == search_id:
        found.omitted.append(data)


def _add_closed(found: Evidence, read: Read, search_id: str, rules: LabelRules) -> None:
    places = [
        (epoch, topic)
        for topic, epoch, search in _closed(read, search_id.encode())
        if search.search_id == search_id and _keep(found, search)
    ]
    if found.closed is None:
        return
    found.epoch, topic = places[0]
    anchor = found.closed.anchor_id
    span = range(found.epoch - rules.history, found.epoch + 1)
    others = [
        search
        for _, epoch, search in _closed(read, anchor.encode(), (topic,))
        if search.anchor_id == anchor and epoch in span
    ]
    found.clicked = frozenset(clicked_by_people(others).get(anchor, ()))


def _keep(found: Evidence, search: Search) -> bool:
    found.closed = found.closed or search
    return True


def _closed(
    read: Read, word: bytes, topics: Sequence[str] = CLOSED_TOPICS
) -> Iterator[tuple[str, int, Search]]:
    for message in read(topics):
        if word not in (message.value or b""):
            continue
        try:
            record = decode_closed(message.value)
        except ContractError:
            continue
        if isinstance(record, ClosedRecord):
            for search in record.data.searches:
                yield message.topic, record.data.epoch, search
