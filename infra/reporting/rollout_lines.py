"""The record of the roll-outs in, what is said of them to whoever asks out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import connect_object_store
from sightline.engine.errors import TransientError, Unreadable
from sightline.engine.settings import Settings
from sightline.stream_workers.rolling_out.state import RolloutRecord, RolloutState, RolloutUnderWay


def rollout_lines(settings: Settings) -> list[str]:
    """Which model is on its way, and what became of the last one, as the store tells it."""
    now, index = SystemClock().now(), settings.index.collection_prefix
    with closing(connect_object_store(settings)) as store:
        try:
            state = RolloutRecord(store, settings.store.bucket, index).read().state
        except (TransientError, Unreadable) as error:
            return [f"unknown: {error}"]
    return list(rollout_told(state, now))


def rollout_told(state: RolloutState, now: datetime) -> Iterator[str]:
    """The same of a state that is known already, at an instant."""
    if state.under_way is not None:
        yield _under_way(state.under_way, now)
    for ended in state.past[:1]:
        ago_s = (now - ended.ended_at).total_seconds()
        yield f"{_short(ended.model)}: {ended.outcome}, {ago_s:.0f} s ago: {ended.says}"
    if state == RolloutState():
        yield "no model came into service by itself yet"


def _under_way(model: RolloutUnderWay, now: datetime) -> str:
    ago_s = (now - model.began_at).total_seconds()
    where = "" if model.generation is None else f", generation {model.generation}"
    return f"{_short(model.model)}: {model.stage}, begun {ago_s:.0f} s ago{where}"


def _short(model: str) -> str:
    name, _, digest = model.partition("@")
    return f"{name}@{digest[:12]}"
