"""Somebody asks to be forgotten: says so in the log, removes the pictures that they asked by.

What it cannot remove, since a log forgets by time alone, it counts and names (docs/privacy.md).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from sightline.engine.event_log.events import events_in
from sightline.engine.ports import EventProducer, ObjectStore
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.search_ids import QUERY_PREFIX
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.images import ObjectReference
from sightline.schemas.interactions import UserErased
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.searches import ResultsShown, UploadQuery
from sightline.schemas.topics import INTERACTIONS, JUDGEMENTS, Topic

SOURCE = "urn:sightline:erase-user"
_D = TypeVar("_D", bound=EventData)


@dataclass(slots=True)
class ErasureReport:
    """What the erasure of one person found and removed."""

    user_pseudonym: str
    erased_at: datetime
    searches: Counter[str] = field(default_factory=Counter)
    """Their searches, by the topic that still holds them; they make no more triples."""
    judgements: int = 0
    """Grades of theirs, as a judge; data sets leave them out from now on."""
    queries_removed: list[str] = field(default_factory=list)
    """Keys of their stored query pictures."""
    queries_shared: list[str] = field(default_factory=list)
    """Stored query pictures that somebody else asked by, too: kept."""


def erase_user(
    pseudonym: str,
    *,
    producer: EventProducer,
    store: ObjectStore,
    bucket: str,
    interactions: Iterable[Message],
    judgements: Iterable[Message],
    now: datetime,
) -> ErasureReport:
    """Publish `UserErased` and remove the stored queries of this user.

    A repeat erases what came since. Triples go with the next `Retraction`.

    Args:
        pseudonym: of the user (`SearchIds.pseudonym`), never the plain id.
        producer: acknowledges the event.
        store: where query pictures lie.
        bucket: our own; what lies elsewhere, or is kept there for another use, stays.
        interactions: the interaction topics, from their beginning; names the stored queries.
        judgements: the topic of grades, from its beginning.
        now: searches issued before this instant are forgotten.

    Raises:
        PartUnavailable: the log or the store did not answer; repeat it.
    """
    report = ErasureReport(user_pseudonym=pseudonym, erased_at=now)
    _publish(INTERACTIONS, pseudonym, now, producer)
    report.judgements = sum(
        data.judge_id.endswith(pseudonym) and data.judged_at < now
        for _, data in _told(judgements, RelevanceJudged)
    )
    if report.judgements:
        _publish(JUDGEMENTS, pseudonym, now, producer)
    askers: defaultdict[str, set[bool]] = defaultdict(set)
    for topic, shown in _told(interactions, ResultsShown):
        theirs = pseudonym in (shown.actor_id, shown.user_pseudonym) and shown.issued_at < now
        if theirs:
            report.searches[topic] += 1
        picture = _picture(shown)
        if picture is not None and _is_query(picture, bucket):
            askers[picture.key].add(theirs)
    for key, who in sorted(askers.items()):
        if who == {True}:
            store.delete(bucket, key)
            report.queries_removed.append(key)
        elif True in who:
            report.queries_shared.append(key)
    return report


def _publish(topic: Topic, pseudonym: str, now: datetime, producer: EventProducer) -> None:
    event = Event[UserErased].of(
        UserErased(user_pseudonym=pseudonym, erased_at=now),
        event_id=uuid4().hex,
        source=SOURCE,
        time=now,
    )
    producer.append(ProducerRecord(topic.name, pseudonym, event.encode())).result()


def _told(messages: Iterable[Message], kind: type[_D]) -> Iterator[tuple[str, _D]]:
    """Events of one type with the topic that holds them; what cannot be read is passed over."""
    for message, event in events_in(messages):
        if isinstance(event.data, kind):
            yield message.topic, event.data


def _picture(shown: ResultsShown) -> ObjectReference | None:
    return shown.query.object if isinstance(shown.query, UploadQuery) else None


def _is_query(picture: ObjectReference, bucket: str) -> bool:
    """Whether it is kept as a query: an impression may name any object of the bucket."""
    return picture.bucket == bucket and picture.key.startswith(QUERY_PREFIX)
