"""What waits at each hop: lag, age of the oldest waiting event, rate, dead letters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightline.engine.event_log_lag import LagReader, PartitionLag
from sightline.schemas.indexed import Lane
from sightline.schemas.topics import (
    BUCKET_NOTIFICATIONS,
    IMAGES,
    IMAGES_BACKFILL,
    INTERACTIONS,
    SEARCHES_CLOSED,
    TOPICS,
)
from sightline.stream_workers.labels.groups import join_group, mine_group

if TYPE_CHECKING:
    from sightline.engine.ports import Clock
    from sightline.engine.settings import KafkaSettings, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One consumer group on one topic."""

    name: str
    topic: str
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HopStatus:
    """One hop as it stands."""

    hop: Hop
    lag: int
    """Messages appended but not committed."""
    oldest_waiting_s: float | None
    """Age of the first of them; None when there are none."""
    rate_per_s: float
    """Messages committed per second while we looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Every hop, and what was dead-lettered."""

    hops: tuple[HopStatus, ...]
    dead_letters: dict[str, int]
    """Messages in each dead-letter topic that is not empty."""


def hops_of(settings: Settings) -> tuple[Hop, ...]:
    """The consumer groups of this deployment."""
    worker, bridge, labels = settings.worker.group, settings.bridge.group, settings.labels
    return (
        Hop(name="live", topic=IMAGES.name, group=f"{worker}-{Lane.LIVE}"),
        Hop(name="backfill", topic=IMAGES_BACKFILL.name, group=f"{worker}-{Lane.BACKFILL}"),
        Hop(name="bridge", topic=BUCKET_NOTIFICATIONS.name, group=bridge),
        # What they have not committed is what open epochs still need, also when nothing waits.
        Hop(name="join", topic=INTERACTIONS.name, group=join_group(labels, INTERACTIONS.name)),
        Hop(
            name="mine", topic=SEARCHES_CLOSED.name, group=mine_group(labels, SEARCHES_CLOSED.name)
        ),
    )


def read_status(
    settings: Settings,
    kafka: KafkaSettings,
    *,
    clock: Clock,
    window_s: float = 1.0,
    wait: Callable[[float], None] = time.sleep,
) -> Status:
    """Look at every hop twice, `window_s` apart.

    Raises:
        PartUnavailable: the broker did not answer.
    """
    readers = {hop: LagReader(kafka, group=hop.group) for hop in hops_of(settings)}
    try:
        before = {hop: _committed(reader.read([hop.topic])) for hop, reader in readers.items()}
        wait(window_s)
        hops = tuple(
            _hop_status(hop, reader.read([hop.topic]), before[hop], window_s, clock)
            for hop, reader in readers.items()
        )
        return Status(hops=hops, dead_letters=_dead_letters(next(iter(readers.values()))))
    finally:
        for reader in readers.values():
            reader.close()


def _hop_status(
    hop: Hop, lags: list[PartitionLag], committed_before: int, window_s: float, clock: Clock
) -> HopStatus:
    waiting = [lag.oldest_waiting for lag in lags if lag.oldest_waiting is not None]
    return HopStatus(
        hop=hop,
        lag=sum(lag.lag for lag in lags),
        oldest_waiting_s=(clock.now() - min(waiting)).total_seconds() if waiting else None,
        rate_per_s=(_committed(lags) - committed_before) / window_s,
    )


def _committed(lags: Iterable[PartitionLag]) -> int:
    return sum(lag.committed if lag.committed is not None else lag.start for lag in lags)


def _dead_letters(reader: LagReader) -> dict[str, int]:
    names = [topic.name for topic in TOPICS if topic.dead_letters_of is not None]
    counts: dict[str, int] = {}
    for lag in reader.read(names, ages=False):
        if lag.end > lag.start:
            counts[lag.topic] = counts.get(lag.topic, 0) + lag.end - lag.start
    return counts
