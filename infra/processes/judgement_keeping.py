"""Keeps people's grades in the embedded journal, since the in-process broker forgets them.

Grades that came through this process go to the journal; what a stranger appended to the broker ends
with it. Erasures are kept whoever wrote them: the command that does is another process. At a start
the topic is filled from the journal again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from functools import partial

from sightline.engine.backoff import retry_transient
from sightline.engine.event_log.embedded.journal import Journal, JournalRecord
from sightline.engine.event_log.embedded.sealed import Seal, unsealed
from sightline.engine.event_log.events import events_in
from sightline.engine.event_log.following import follow_until
from sightline.engine.ports import EventLog, EventProducer, LogFollower
from sightline.engine.records import Message
from sightline.infra.processes.journal_keeping import append_again
from sightline.schemas.envelope import ContractError
from sightline.schemas.interactions import UserErased
from sightline.schemas.registry import decode
from sightline.schemas.topics import JUDGEMENTS

TOPICS = frozenset({JUDGEMENTS.name})
_NAMED = "judgement:"
"""Before an event's id where the journal has an image's: no image's id has a colon."""
_log = logging.getLogger(__name__)


def keep_judgements(
    journal: Journal, log: EventLog, producer: EventProducer, seal: Seal, stop: threading.Event
) -> None:
    """Publish what the journal has, then write down what comes, each once, until `stop`."""
    known: set[str] = set()
    for record in journal.winners(TOPICS):
        known.add(record.image_id)
        _publish(producer, record, stop)

    def take(messages: Sequence[Message]) -> None:
        new = [record for record in _records(messages, seal) if record.image_id not in known]
        if new:
            retry_transient(
                partial(journal.record, new),
                stop=stop,
                failed=lambda error: _log.warning("judgements wait to be written: %s", error),
            )
            known.update(record.image_id for record in new)

    def connect() -> LogFollower:
        starts = dict.fromkeys(range(log.partition_count(JUDGEMENTS.name)), 0)
        return log.follow(JUDGEMENTS.name, starts, group="kept-judgements")

    follow_until(stop, connect, take, who="kept judgements")


def _publish(producer: EventProducer, record: JournalRecord, stop: threading.Event) -> None:
    try:
        key = decode(record.value).data.subject
    except ContractError as error:
        _log.error("passed over a journaled %s: %s", record.image_id, error)
        return
    append_again(producer, record, stop, key=key)


def _records(messages: Sequence[Message], seal: Seal) -> Iterator[JournalRecord]:
    """Puts them as the journal keeps them; what cannot be read, or nobody here said, is none."""
    for message, event in events_in(messages):
        assert message.value is not None  # noqa: S101 - it was read
        if not (seal.holds(message) or isinstance(event.data, UserErased)):
            _log.warning("a stranger's judgement is not kept: %s", event.id)
            continue
        yield JournalRecord(
            image_id=_NAMED + event.id,
            version=0,
            tie=0,
            topic=JUDGEMENTS.name,
            value=message.value,
            headers=tuple(unsealed(message).headers),
            appended=message.timestamp,
        )
