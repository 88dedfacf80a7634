"""Where a new generation's consumer groups begin to read, committed before they have a member."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from sightline.engine.ports import EventLog
from sightline.engine.records import TopicPartition
from sightline.schemas.topics import IMAGES_MODERATION


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
    for topic, group in groups.items():
        partitions = range(log.partition_count(topic))
        starts = dict.fromkeys(partitions, 0)
        if seeded_from is not None and topic != IMAGES_MODERATION.name:
            starts = log.start_offsets(seeded_from[topic], topic, partitions)
        with closing(log.follow(topic, starts, group=group)) as follower:
            follower.commit({TopicPartition(topic, p): offset for p, offset in starts.items()})
