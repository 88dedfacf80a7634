"""What the topics hold about one search: page, acts, closing, triples, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, Self

from sightline.engine.event_log.events import events_in
from sightline.engine.records import Message
from sightline.engine.search_ids import IssuedSearch
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.interactions import ResultsInteracted
from sightline.schemas.labels import TripleMined, TripleRetracted
from sightline.schemas.late import InteractionsOmitted
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import (
    INTERACTIONS,
    INTERACTIONS_IMPORTED,
    INTERACTIONS_LATE,
    SEARCHES_CLOSED,
    SEARCHES_CLOSED_IMPORTED,
    TRAINING_TRIPLES,
)
from sightline.stream_workers.labels.codecs.searches import ClosedRecord, Search
from sightline.stream_workers.labels.codecs.searches import decode_searches as decode_closed
from sightline.stream_workers.labels.mine.epoch import clicked_by_people, no_negatives
from sightline.stream_workers.labels.mine.votes import Voters, voters_of
from sightline.stream_workers.labels.rules import LabelRules

MARGIN = timedelta(hours=1)
"""How far the clocks of services and broker are trusted; Kafka takes no record further ahead."""


class Read(Protocol):
    """Topics, from beginning to end or from a moment on (`read_topics`)."""

    def __call__(
        self, topics: Sequence[str], *, key: str | None = None, since: datetime | None = None
    ) -> Iterable[Message]:
        """With a key only the partition that it falls on."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the topics tell of a search: the keys of its records, and when they begin."""

    actor_id: str
    anchor_id: str
    issued_at: datetime

    @classmethod
    def of(cls, told: IssuedSearch | ResultsShown | TripleMined) -> Self:
        """By its id, its impression or one of its triples."""
        return cls(told.actor_id, told.anchor_id, told.issued_at)


INTERACTION_TOPICS = (INTERACTIONS.name, INTERACTIONS_IMPORTED.name)
CLOSED_TOPICS = (SEARCHES_CLOSED.name, SEARCHES_CLOSED_IMPORTED.name)


@dataclass(slots=True)
class SearchEvidence:
    """What the topics hold about one search, as far as it was found."""

    shown: ResultsShown | None = None
    beacons: list[ResultsInteracted] = field(default_factory=list)
    omitted: list[InteractionsOmitted] = field(default_factory=list)
    closed: Search | None = None
    epoch: int | None = None
    clicked: frozenset[str] = frozenset()
    """What people clicked for its anchor in its epoch and the H before, and so is no negative."""
    voters: Voters = field(default_factory=dict)
    """Who preferred what for its anchor, in the same epochs."""
    same_epoch: list[Search] = field(default_factory=list)
    """The searches of its epoch by its anchor, itself among them."""
    mined: dict[str, TripleMined] = field(default_factory=dict)
    retracted: dict[str, TripleRetracted] = field(default_factory=dict)


def find_triple(read: Read, triple_id: str) -> TripleMined | None:
    """The triple of that id in the labelled topic; None if it is not there (any more)."""
    for event in _events(read, (TRAINING_TRIPLES.name,), triple_id):
        if event.id == triple_id and isinstance(event.data, TripleMined):
            return event.data
    return None


def gather_evidence(
    read: Read, search_id: str, rules: LabelRules, *, told: IssuedSearch | TripleMined | None = None
) -> SearchEvidence:
    """Everything that the topics still hold about a search.

    What its id carries, or a triple of it, tells in which partitions and from when; without that
    the topics are read whole until its impression has said so.
    """
    found = SearchEvidence()
    where = None if told is None else Whereabouts.of(told)
    topics = (*INTERACTION_TOPICS, INTERACTIONS_LATE.name)
    for event in _events(_near(read, where, of_actor=True), topics, search_id):
        _add_interaction(found, event.data, search_id)
    if where is None and found.shown is not None:
        where = Whereabouts.of(found.shown)
    where = _add_closed(found, read, search_id, where, rules)
    _add_triples(found, _near(read, where), search_id)
    return found


def _near(
    read: Read,
    where: Whereabouts | None,
    *,
    of_actor: bool = False,
    earlier: timedelta = timedelta(0),
) -> Callable[[Sequence[str]], Iterable[Message]]:
    """Reads what can be about a search; unknown where: everything."""
    if where is None:
        return read
    key = where.actor_id if of_actor else where.anchor_id
    return partial(read, key=key, since=where.issued_at - MARGIN - earlier)


def _add_triples(
    found: SearchEvidence, read: Callable[[Sequence[str]], Iterable[Message]], search_id: str
) -> None:
    retracted: dict[str, TripleRetracted] = {}
    for event in _events(read, (TRAINING_TRIPLES.name,), search_id, TripleRetracted.TYPE):
        if isinstance(event.data, TripleRetracted):
            retracted.setdefault(event.data.triple_id, event.data)
        elif isinstance(event.data, TripleMined) and event.data.search_id == search_id:
            found.mined[event.id] = event.data
    found.retracted = {name: told for name, told in retracted.items() if name in found.mined}


def _events(
    read: Callable[[Sequence[str]], Iterable[Message]], topics: Sequence[str], *words: str
) -> Iterator[Event[Any]]:
    """Events whose bytes hold one of the words: all others need no decoding."""
    return (event for _, event in events_in(read(topics), *words))


def _add_interaction(found: SearchEvidence, data: object, search_id: str) -> None:
    if isinstance(data, ResultsShown) and data.search_id == search_id:
        found.shown = found.shown or data
    elif isinstance(data, ResultsInteracted) and data.search_id == search_id:
        found.beacons.append(data)
    elif isinstance(data, InteractionsOmitted) and data.search_id == search_id:
        found.omitted.append(data)


def _add_closed(
    found: SearchEvidence, read: Read, search_id: str, where: Whereabouts | None, rules: LabelRules
) -> Whereabouts | None:
    """Adds how it was closed, and what people graded before; returns where the search lies."""
    if where is None:
        where = next(
            (
                Whereabouts(one.actor_id, one.anchor_id, datetime.fromisoformat(one.issued_at))
                for _, _, one in _closed(read, search_id)
                if one.search_id == search_id
            ),
            None,
        )
    if where is None:
        return None
    before = timedelta(milliseconds=(rules.history + 1) * rules.epoch_ms)
    near = _near(read, where, earlier=before)
    alike = [one for one in _closed(near, where.anchor_id) if one[2].anchor_id == where.anchor_id]
    here = next((one for one in alike if one[2].search_id == search_id), None)
    if here is not None:
        topic, found.epoch, found.closed = here
        span = range(found.epoch - rules.history, found.epoch + 1)
        others = [search for told, epoch, search in alike if told == topic and epoch in span]
        clicks = clicked_by_people(others).get(where.anchor_id, set())
        found.clicked = no_negatives(clicks, rules)
        found.voters = voters_of(others)
        same = (search for told, epoch, search in alike if (told, epoch) == (topic, found.epoch))
        found.same_epoch = list({search.search_id: search for search in same}.values())
    return where


def _closed(
    read: Callable[[Sequence[str]], Iterable[Message]], word: str
) -> Iterator[tuple[str, int, Search]]:
    wanted = word.encode()
    for message in read(CLOSED_TOPICS):
        if wanted not in (message.value or b""):
            continue
        try:
            record = decode_closed(message.value)
        except ContractError:
            continue
        if isinstance(record, ClosedRecord):
            for search in record.data.searches:
                yield message.topic, record.data.epoch, search
