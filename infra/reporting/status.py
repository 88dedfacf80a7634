"""What waits at each hop: lag, age of the oldest waiting event, rate, dead letters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

from sightline.engine.ports import Clock, EventLog
from sightline.engine.records import Message, PartitionLag
from sightline.engine.serving.values import KnownGeneration
from sightline.engine.settings import Settings
from sightline.schemas.dead_letters import DeadLetterFacts
from sightline.schemas.envelope import ContractError
from sightline.schemas.indexed import Lane
from sightline.schemas.topics import (
    BUCKET_NOTIFICATIONS,
    IMAGES,
    IMAGES_BACKFILL,
    IMAGES_MODERATION,
    INTERACTIONS,
    INTERACTIONS_IMPORTED,
    SEARCHES_CLOSED,
    SEARCHES_CLOSED_IMPORTED,
    TOPICS,
    TRAINING_TRIPLES,
)
from sightline.stream_workers.image_log.groups import lane_group, moderation_group
from sightline.stream_workers.labels.groups import join_group, metrics_group, mine_group

READER = "status"
"""Group under whose name we look; it never commits."""
LATEST = 1_000
"""Dead letters of a partition that are read for their causes."""
POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupHop:
    """A consumer group, and the topic whose events wait for it."""

    name: str
    topic: str
    group: str
    where_used: bool = False
    """Told only once its topic has held something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HopStatus:
    """How much waits at one hop, and how fast it is worked off."""

    hop: GroupHop
    lag: int
    """Messages appended but not committed."""
    oldest_waiting_s: float | None
    """Age of the first of them; None when there are none."""
    rate_per_s: float
    """Messages committed per second while we looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How much waits at every hop, and how much lies in the dead letters."""

    hops: tuple[HopStatus, ...]
    dead_letters: dict[str, DeadLetterCount]
    """By dead-letter topic, where it is not empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterCount:
    """How many messages one dead-letter topic holds, and of which errors."""

    messages: int
    latest: dict[str, int]
    """Counts of the last `LATEST` of them by kind of error, the most frequent first."""


def hops_of(
    settings: Settings, generations: Sequence[KnownGeneration] = ()
) -> tuple[GroupHop, ...]:
    """Lists the consumer groups of this deployment.

    Args:
        settings: name all of them but those of further generations.
        generations: of the record; those of other groups than the settings' are told by name.
    """
    first = settings.worker.group
    others = [one for one in generations if one.group != first]
    return (
        *_generation(first),
        *(hop for one in others for hop in _generation(one.group, suffix=f" {one.name}")),
        GroupHop(name="bridge", topic=BUCKET_NOTIFICATIONS.name, group=settings.bridge.group),
        *_stages(settings, INTERACTIONS.name, SEARCHES_CLOSED.name),
        *_stages(
            settings,
            INTERACTIONS_IMPORTED.name,
            SEARCHES_CLOSED_IMPORTED.name,
            suffix=" imported",
            where_used=True,
        ),
        GroupHop(name="sink", topic=TRAINING_TRIPLES.name, group=settings.sink.group),
    )


def _generation(group: str, *, suffix: str = "") -> tuple[GroupHop, ...]:
    """What one generation of the index reads."""
    hops = (
        ("live", IMAGES.name, lane_group(group, Lane.LIVE)),
        ("backfill", IMAGES_BACKFILL.name, lane_group(group, Lane.BACKFILL)),
        ("moderation", IMAGES_MODERATION.name, moderation_group(group)),
    )
    return tuple(GroupHop(name=name + suffix, topic=topic, group=of) for name, topic, of in hops)


def _stages(
    settings: Settings,
    interactions: str,
    closed: str,
    *,
    suffix: str = "",
    where_used: bool = False,
) -> tuple[GroupHop, ...]:
    """What follows interactions of one kind.

    What join and miner have not committed is what open epochs still need, also when nothing waits.
    """
    labels = settings.labels
    hops = (
        ("join", interactions, join_group(labels, interactions)),
        ("mine", closed, mine_group(labels, closed)),
        ("metrics", closed, metrics_group(settings.sink, closed)),
    )
    return tuple(
        GroupHop(name=name + suffix, topic=topic, group=group, where_used=where_used)
        for name, topic, group in hops
    )


def read_status(
    settings: Settings,
    log: EventLog,
    *,
    clock: Clock,
    generations: Sequence[KnownGeneration] = (),
    window_s: float = 1.0,
    wait: Callable[[float], None] = time.sleep,
) -> Status:
    """Look at every hop twice, at least `window_s` apart.

    Raises:
        PartUnavailable: the broker did not answer.
    """
    looks = [_look(hop, log, clock) for hop in hops_of(settings, generations)]
    wait(window_s)
    hops = tuple(
        _hop_status(look, log, window_s=window_s, clock=clock) for look in looks if look.is_told
    )
    return Status(hops=hops, dead_letters=_dead_letters(log))


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen at one hop, and when."""

    hop: GroupHop
    lags: list[PartitionLag]
    at_s: float

    @property
    def is_told(self) -> bool:
        return not self.hop.where_used or any(lag.end for lag in self.lags)


def _look(hop: GroupHop, log: EventLog, clock: Clock, *, ages: bool = False) -> _Look:
    lags = log.lag(hop.group, [hop.topic], ages=ages)
    return _Look(hop, lags, clock.monotonic())


def _hop_status(first: _Look, log: EventLog, *, window_s: float, clock: Clock) -> HopStatus:
    again = _look(first.hop, log, clock, ages=True)
    waiting = [lag.oldest_waiting for lag in again.lags if lag.oldest_waiting is not None]
    # Longer than the window: every look connects, and the other hops were looked at in between.
    took_s = max(window_s, again.at_s - first.at_s)
    return HopStatus(
        hop=first.hop,
        lag=sum(lag.lag for lag in again.lags),
        oldest_waiting_s=(clock.now() - min(waiting)).total_seconds() if waiting else None,
        rate_per_s=(_committed(again.lags) - _committed(first.lags)) / took_s,
    )


def _committed(lags: Iterable[PartitionLag]) -> int:
    return sum(lag.committed if lag.committed is not None else lag.start for lag in lags)


def _dead_letters(log: EventLog) -> dict[str, DeadLetterCount]:
    names = [topic.name for topic in TOPICS if topic.dead_letters_of is not None]
    found: dict[str, list[PartitionLag]] = {}
    for lag in log.lag(READER, names, ages=False):
        if lag.end > lag.start:
            found.setdefault(lag.topic, []).append(lag)
    return {
        topic: DeadLetterCount(
            messages=sum(lag.end - lag.start for lag in lags), latest=_causes(log, topic, lags)
        )
        for topic, lags in found.items()
    }


def _causes(log: EventLog, topic: str, lags: Sequence[PartitionLag]) -> dict[str, int]:
    starts = {lag.partition: max(lag.start, lag.end - LATEST) for lag in lags}
    ends = {lag.partition: lag.end for lag in lags}
    causes: Counter[str] = Counter()
    with closing(log.follow(topic, starts, group=READER)) as follower:
        left = sum(ends[number] - start for number, start in starts.items())
        while left > 0 and (letters := follower.poll(LATEST, POLL_S)):
            causes.update(_error_of(letter) for letter in letters)
            left -= sum(letter.offset < ends[letter.partition] for letter in letters)
    return dict(causes.most_common())


def _error_of(letter: Message) -> str:
    try:
        return DeadLetterFacts.parse(list(letter.headers)).legible().error
    except ContractError:
        return "unknown"
