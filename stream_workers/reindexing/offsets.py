"""What generations have still to read: where their groups begin, and what is gone of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from itertools import chain
from typing import TypeVar

from sightline.engine.ports import EventLog
from sightline.engine.records import PartitionLag, TopicPartition
from sightline.schemas.topics import DELETE_RETENTION_MS, IMAGES_MODERATION

T = TypeVar("T")


def begin_groups(
    log: EventLog, groups: Mapping[str, str], *, seeded_from: Mapping[str, str] | None
) -> None:
    """Let groups begin where another generation's are, or at the log's beginning.

    What an older life of a generation of this name committed is overwritten. Decisions are few and
    are all read again in either case.

    Args:
        log: holds the topics.
        groups: the new generation's group of each topic, which has no member yet.
        seeded_from: the groups of the generation whose index is copied: below what they have
            committed it is all in there. None: nothing is copied.

    Raises:
        PartUnavailable: the broker did not answer; a repeat is safe.
    """

    def begin(topic: str, group: str) -> None:
        copied = None if topic == IMAGES_MODERATION.name else (seeded_from or {}).get(topic)
        found = log.lag(copied or group, [topic], ages=False)
        starts = {one.partition: _first(one) if copied else one.start for one in found}
        with closing(log.follow(topic, starts, group=group)) as follower:
            follower.commit({TopicPartition(topic, p): at for p, at in starts.items()})

    for_each_topic(groups, begin)


def forgotten(log: EventLog, groups: Mapping[str, str], now: datetime) -> Iterator[TopicPartition]:
    """Partitions of which the log may have forgotten what these groups have still to read.

    It was deleted where it lies below the log's start. Compaction leaves the last event of each
    image, but the delete that is the last word on one only for so long.

    Args:
        log: holds the topics.
        groups: the generation's group of each topic.
        now: the present instant.

    Raises:
        PartUnavailable: the broker did not answer.
    """
    kept_since = now - timedelta(milliseconds=DELETE_RETENTION_MS)
    for one in lags(log, groups):
        is_old = one.oldest_waiting is not None and one.oldest_waiting < kept_since
        if (one.committed or 0) < one.start or is_old:
            yield TopicPartition(one.topic, one.partition)


def lags(log: EventLog, groups: Mapping[str, str]) -> list[PartitionLag]:
    """How far each topic's group is. Raises `PartUnavailable`."""
    found = for_each_topic(groups, lambda topic, group: log.lag(group, [topic]))
    return list(chain.from_iterable(found))


def for_each_topic(groups: Mapping[str, str], ask: Callable[[str, str], T]) -> list[T]:
    """Ask about a topic and its group, all of them at once: it is the broker that takes the time.

    Raises:
        SightlineError: the first failure, once all have ended.
    """
    with ThreadPoolExecutor(len(groups)) as pool:
        return list(pool.map(lambda of: ask(*of), groups.items()))


def _first(lag: PartitionLag) -> int:
    """The first offset that is still there of those that the group has not read."""
    return max(lag.start, lag.committed or 0)
