"""The record of the retraining in, what is said of it to whoever asks out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import connect_object_store
from sightline.engine.errors import TransientError, Unreadable
from sightline.engine.settings import Settings
from sightline.training.retraining.state import Attempt, Ended, RetrainingRecord, RetrainingState


def retraining_lines(settings: Settings) -> list[str]:
    """How far the retraining is and what it came to last, as the store tells it."""
    model, now = settings.retraining.model, SystemClock().now()
    with closing(connect_object_store(settings)) as store:
        try:
            state = RetrainingRecord(store, settings.store.bucket, model).read().state
        except (TransientError, Unreadable) as error:
            return [f"unknown: {error}"]
    return list(retraining_told(state, model, now))


def retraining_told(state: RetrainingState, model: str, now: datetime) -> Iterator[str]:
    """The same of a state that is known already, at an instant."""
    if state.under_way is not None:
        yield _under_way(state.under_way, model, now)
    if state.last is not None:
        yield from _ended(state.last, model, now)
    if state == RetrainingState():
        yield f"{model}: no attempt yet"


def _under_way(attempt: Attempt, model: str, now: datetime) -> str:
    ago_s = (now - attempt.began_at).total_seconds()
    far = "is being trained"
    if attempt.judged is not None:
        far = f"is judged {attempt.judged.outcome}"
    return f"{model}: attempt {attempt.number}, begun {ago_s:.0f} s ago, {far}"


def _ended(last: Ended, model: str, now: datetime) -> Iterator[str]:
    ago_s = (now - last.ended_at).total_seconds()
    yield f"{model}: attempt {last.attempt.number} {last.outcome}, {ago_s:.0f} s ago: {last.says}"
    judged = last.attempt.judged
    for line in () if judged is None else judged.lines:
        yield f"  {line.outcome}: {line.rule}: {line.says}"
    if judged is not None and judged.taken_back:
        yield (
            f"  {judged.taken_back} triples that taught it were taken back before it was judged: "
            "it is no longer reproducible"
        )
