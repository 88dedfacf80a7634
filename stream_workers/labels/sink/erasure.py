"""Somebody asks to be forgotten: says so in the log, removes the pictures that they asked by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from sightline.engine.ports import EventProducer, ObjectStore
from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.images import ObjectReference
from sightline.schemas.interactions import UserErased
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown, UploadQuery
from sightline.schemas.topics import INTERACTIONS

SOURCE = "urn:sightline:erase-user"


@dataclass(slots=True)
class ErasureReport:
    """What was done."""

    user_pseudonym: str
    erased_at: datetime
    searches: int = 0
    """Of theirs, still in the log; they age out of it, and make no more triples."""
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
    now: datetime,
) -> ErasureReport:
    """Publish `UserErased` and remove the stored queries of this user.

    A repeat erases what came since. Triples go with the next `Retraction`.

    Args:
        pseudonym: of the user (`SearchIds.pseudonym`), never the plain id.
        producer: acknowledges the event.
        store: where query pictures lie.
        bucket: our own; pictures elsewhere are not ours to remove.
        interactions: the interaction topics, from their beginning; names the stored queries.
        now: searches issued before this instant are forgotten.

    Raises:
        PartUnavailable: the log or the store did not answer; repeat it.
    """
    report = ErasureReport(user_pseudonym=pseudonym, erased_at=now)
    _publish(pseudonym, now, producer)
    askers: defaultdict[str, set[bool]] = defaultdict(set)
    for shown in _pages(interactions):
        theirs = pseudonym in (shown.actor_id, shown.user_pseudonym) and shown.issued_at < now
        report.searches += theirs
        picture = _picture(shown)
        if picture is not None and picture.bucket == bucket:
            askers[picture.key].add(theirs)
    for key, who in sorted(askers.items()):
        if who == {True}:
            store.delete(bucket, key)
            report.queries_removed.append(key)
        elif True in who:
            report.queries_shared.append(key)
    return report


def _publish(pseudonym: str, now: datetime, producer: EventProducer) -> None:
    event = Event[UserErased].of(
        UserErased(user_pseudonym=pseudonym, erased_at=now),
        event_id=uuid4().hex,
        source=SOURCE,
        time=now,
    )
    producer.append(INTERACTIONS.name, pseudonym, event.encode()).result()


def _pages(messages: Iterable[Message]) -> Iterable[ResultsShown]:
    for message in messages:
        try:
            data = decode(message.value).data
        except ContractError:
            continue
        if isinstance(data, ResultsShown):
            yield data


def _picture(shown: ResultsShown) -> ObjectReference | None:
    return shown.query.object if isinstance(shown.query, UploadQuery) else None
