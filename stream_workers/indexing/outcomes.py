"""What became of a record, told: an outcome event, a dead letter, or nothing for a Kafka null."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from sightline.engine.ports import VectorIndex
from sightline.engine.records import GenerationSpec, ProducerRecord
from sightline.engine.trace_context import child_traceparent, traceparent_header, traceparent_of
from sightline.schemas.envelope import Event
from sightline.schemas.indexed import ImageIndexed, ImageRejected, Outcome
from sightline.schemas.topics import IMAGES_INDEXED
from sightline.stream_workers.delivery.dead_letters import Cause, DeadLetters
from sightline.stream_workers.delivery.outbox import Letter, Outbox
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.moves import Applied, End, Unforeseen
from sightline.stream_workers.indexing.task import ImageTask, PictureFacts, Polled, Rejection

_log = logging.getLogger(__name__)

Tells = Callable[[datetime], bool]
"""Whether others are told what became of a record that was appended at that time."""
SOURCE = "/sightline/index-worker"
_MESSAGE_CHARS = 512
_REASON_CHARS = 64


def always(_: datetime) -> bool:
    """Others are told of every record: nothing else is fed by this deployment."""
    return True


class Outcomes:
    """Sends one message for each ending and counts it; safe from several threads.

    Args:
        index: says which generation is written.
        tells: whether others are told of a record that was appended then: of a generation that
            serves nobody, no (docs/adr/0024).
    """

    def __init__(
        self,
        outbox: Outbox,
        dead_letters: DeadLetters,
        *,
        index: VectorIndex,
        context: StageContext,
        tells: Tells = always,
    ) -> None:
        self._tells = tells
        self._outbox = outbox
        self._dead_letters = dead_letters
        self._index = index
        self._clock = context.clock
        self._metrics = context.metrics

    def tell(self, end: End) -> Letter | None:
        """Send what tells of the ending; its acknowledgement must precede the offset's commit.

        Raises:
            DeadLetterLimit: too many dead letters lately.
            GaveUp: the worker stops meanwhile.
        """
        match end.ending:
            case Applied():
                return self._applied(end.ending)
            case Unforeseen(stage, error):
                return self._bury(end.item, stage, error)
            case _:
                return None

    def _applied(self, applied: Applied) -> Letter | None:
        task = applied.judged.task
        if not applied.repeated:
            self._count(applied)
        if not self._tells(task.polled.message.timestamp):
            return None
        event = outcome_event(applied, self._index.spec, self._clock.now())
        trace = child_traceparent(traceparent_of(task.polled.message.headers))
        headers = [traceparent_header(trace)]
        return self._outbox.send(
            ProducerRecord(IMAGES_INDEXED.name, task.image_id, event.encode(), headers)
        )

    def _count(self, applied: Applied) -> None:
        known = applied.judged
        self._count_version(applied.outcome)
        self._metrics.stage_times(known.lane, applied.outcome, applied.times)
        if isinstance(known.verdict, Rejection) and applied.outcome is Outcome.REJECTED:
            self._metrics.rejections.labels(known.verdict.reason).inc()
        if isinstance(known.verdict, PictureFacts):
            self._metrics.embeddings.labels("made" if known.embedded else "reused").inc()

    def _count_version(self, outcome: Outcome) -> None:
        self._metrics.generation_versions.labels(self._index.spec.name, outcome).inc()

    def _bury(self, item: Polled | ImageTask, stage: str, error: BaseException) -> Letter | None:
        message = item.message if isinstance(item, Polled) else item.polled.message
        self._count_version(Outcome.DEAD_LETTERED)
        if not self._tells(message.timestamp):
            _log.warning("generation %s skips a bad message: %s", self._index.spec.name, error)
            return None
        letter = self._dead_letters.send(message, Cause.of(stage, error))
        self._metrics.outcomes.labels(item.lane, Outcome.DEAD_LETTERED).inc()
        return letter


def outcome_event(
    applied: Applied, spec: GenerationSpec, now: datetime
) -> Event[ImageIndexed] | Event[ImageRejected]:
    """Return the event; its id is a function of what it says, so a repeat is the same event."""
    task, outcome, stored = applied.judged.task, applied.outcome, applied.stored
    common = {
        "image_id": task.image_id,
        "version": task.state.version,
        "event_id": task.event.id,
        "lane": task.lane,
        "times": applied.times,
        "generation": spec.name,
        "model_digest": spec.model_digest,
        "outcome": outcome,
    }
    envelope = {
        "id": outcome_id(task, outcome, spec.name),
        "source": SOURCE,
        "subject": task.image_id,
        "time": now,
    }
    if outcome is Outcome.REJECTED:
        rejected = ImageRejected(
            **common,
            reason=(stored.reason or "unknown")[:_REASON_CHARS],
            message=(stored.message or "")[:_MESSAGE_CHARS],
        )
        return Event[ImageRejected](type=ImageRejected.TYPE, data=rejected, **envelope)
    indexed = ImageIndexed(**common, embedded=applied.judged.embedded is not None)
    return Event[ImageIndexed](type=ImageIndexed.TYPE, data=indexed, **envelope)


def outcome_id(task: ImageTask, outcome: Outcome, generation: str) -> str:
    """Return 32 hex digits of SHA-256(image id, version, event id, outcome, generation by NUL)."""
    parts = (task.image_id, str(task.state.version), task.event.id, outcome, generation)
    return sha256("\0".join(parts).encode()).hexdigest()[:32]
