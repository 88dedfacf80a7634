"""What cannot be processed goes to a dead-letter topic, counted by cause, with a limit."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sightline.engine.metrics import Metrics
from sightline.engine.records import Message, ProducerRecord
from sightline.schemas.dead_letters import MAX_FACT_CHARS, DeadLetterFacts
from sightline.schemas.topics import dead_letters_of
from sightline.stream_workers.delivery.letter_limit import LetterLimit
from sightline.stream_workers.delivery.outbox import Letter, Outbox

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a record cannot be processed, and at which stage that was found."""

    stage: str
    error: str
    """Kind: the name of an exception."""
    reason: str
    by_sender: bool = False
    """Whether anybody who may send to us can bring it about. Such letters are counted, and never
    stop anything: else a stranger could."""

    @classmethod
    def of(cls, stage: str, error: BaseException, *, by_sender: bool = False) -> Cause:
        """What an exception says; its kind where it says nothing."""
        kind = type(error).__name__
        return cls(stage=stage, error=kind, reason=str(error) or kind, by_sender=by_sender)


class DeadLetterDesk:
    """Makes dead letters; every worker's go through here. Safe from several threads.

    A repeat (the same record after a restart) is a second dead letter with the same topic,
    partition and offset: readers count those distinct.

    Args:
        limit: stops the loop that would bury a topic.
        metrics: counts by topic and kind of error.
    """

    def __init__(self, limit: LetterLimit, metrics: Metrics) -> None:
        self._limit = limit
        self._metrics = metrics

    def letter(self, message: Message, cause: Cause) -> ProducerRecord:
        """A record's dead letter: the original bytes with the facts in headers (docs/adr/0005).

        Its acknowledgement must precede the commit of the record's offset.

        Raises:
            DeadLetterLimit: too many lately; do not send this one, commit nothing past it.
        """
        if not cause.by_sender:
            self._limit.count(message, cause.reason)
        facts = DeadLetterFacts(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            stage=cause.stage,
            error=cause.error,
            message=cause.reason[:MAX_FACT_CHARS],
        )
        told = facts.model_dump(exclude={"message"}) | {"why": facts.message}
        _log.warning("dead letter", extra=told)
        self._metrics.dead_letters.labels(message.topic, cause.error).inc()
        return ProducerRecord(
            topic=dead_letters_of(message.topic).name,
            key=message.key_text,
            value=message.value,
            headers=(*message.headers, *facts.headers()),
        )


class DeadLetters:
    """Sends dead letters through an outbox; safe from several threads."""

    def __init__(self, outbox: Outbox, limit: LetterLimit, metrics: Metrics) -> None:
        self._outbox = outbox
        self._desk = DeadLetterDesk(limit, metrics)

    def send(self, message: Message, cause: Cause) -> Letter:
        """Queue a dead letter; settle it before its offset is committed.

        Raises:
            DeadLetterLimit: too many lately; this one was not sent, commit nothing past it.
        """
        return self._outbox.send(self._desk.letter(message, cause))
