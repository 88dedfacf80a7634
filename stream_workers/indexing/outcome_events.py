"""What became of an event, as an event: `ImageIndexed` or `ImageRejected` with its stage times."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from sightline.engine.records import GenerationSpec, IndexedImage
from sightline.schemas.envelope import Event
from sightline.schemas.indexed import ImageIndexed, ImageRejected, Outcome, StageTimes
from sightline.stream_workers.indexing.task import ImageTask


class Applied(NamedTuple):
    """An event that reached its end."""

    task: ImageTask
    outcome: Outcome
    stored: IndexedImage | None
    times: StageTimes
    repeated: bool = False
    """It had been applied before this delivery."""


SOURCE = "/sightline/index-worker"
_MESSAGE_CHARS = 512
_REASON_CHARS = 64


def outcome_event(
    applied: Applied, spec: GenerationSpec, now: datetime
) -> Event[ImageIndexed] | Event[ImageRejected]:
    """The event; its id is a function of what it says, so a repeat is the same event."""
    task, outcome, stored = applied.task, applied.outcome, applied.stored
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
            reason=((stored.reason if stored else None) or "unknown")[:_REASON_CHARS],
            message=((stored.message if stored else None) or "")[:_MESSAGE_CHARS],
        )
        return Event[ImageRejected](type=ImageRejected.TYPE, data=rejected, **envelope)
    indexed = ImageIndexed(**common, embedded=task.paid)
    return Event[ImageIndexed](type=ImageIndexed.TYPE, data=indexed, **envelope)


def outcome_id(task: ImageTask, outcome: Outcome, generation: str) -> str:
    """32 hex digits of SHA-256(event id NUL version NUL outcome NUL generation)."""
    parts = (task.image_id, str(task.state.version), task.event.id, outcome, generation)
    return sha256("\0".join(parts).encode()).hexdigest()[:32]


def times_of_repeat(task: ImageTask, stored: IndexedImage) -> StageTimes:
    """The stage times of an event that had been applied before this delivery of it."""
    return StageTimes(
        occurred=stored.occurred,
        appended=stored.appended,
        consumed=min(task.consumed, stored.applied),
        searchable=stored.applied,
    )
