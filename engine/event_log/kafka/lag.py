"""How far a consumer group is behind: committed offsets, ends, and how long the next one waits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from confluent_kafka import Consumer, TopicPartition

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka.clients import asking, ended, open_reader
from sightline.engine.event_log.kafka.producer import timestamp_of
from sightline.engine.event_log.kafka.settling import committed_offsets, watermarks
from sightline.engine.event_log.partitions import committed_within, start_within
from sightline.engine.records import PartitionLag
from sightline.engine.settings import KafkaSettings

_TIMEOUT_S = 10.0


def read_lag(
    settings: KafkaSettings, group: str, topics: Sequence[str], *, ages: bool
) -> list[PartitionLag]:
    """The lag of every partition, seen from outside the group.

    Args:
        settings: the cluster.
        group: without prefix; is not joined.
        topics: unprefixed names; those that do not exist are left out.
        ages: also look up how long the first uncommitted message waits (one fetch each).

    Raises:
        PartUnavailable: the broker did not answer.
    """
    prefix = settings.topic_prefix
    with asking(open_reader(settings, group), "reading lag") as consumer:
        committed = _committed(consumer, [prefix + topic for topic in topics])
        return [_lag(consumer, at, prefix, ages=ages) for at in committed]


def _committed(consumer: Consumer, topics: Sequence[str]) -> list[TopicPartition]:
    known = consumer.list_topics(timeout=_TIMEOUT_S).topics
    partitions = [
        TopicPartition(topic, partition)
        for topic in topics
        if topic in known
        for partition in known[topic].partitions
    ]
    return committed_offsets(consumer, partitions, timeout_s=_TIMEOUT_S) if partitions else []


def _lag(consumer: Consumer, at: TopicPartition, prefix: str, *, ages: bool) -> PartitionLag:
    start, end = watermarks(consumer, at, timeout_s=_TIMEOUT_S)
    first = start_within(at.offset, start=start, end=end)
    oldest = _time_of(consumer, at, first) if ages and first < end else None
    return PartitionLag(
        topic=at.topic.removeprefix(prefix),
        partition=at.partition,
        start=start,
        committed=committed_within(at.offset, end=end),
        # What follows may be the end of a transaction only, which nobody can read.
        end=first if ages and oldest is None else end,
        oldest_waiting=oldest,
    )


def _time_of(consumer: Consumer, at: TopicPartition, offset: int) -> datetime | None:
    consumer.assign([TopicPartition(at.topic, at.partition, offset)])
    try:
        message = consumer.poll(_TIMEOUT_S)
    finally:
        consumer.unassign()
    if message is None:
        raise PartUnavailable(Part.BROKER, f"nothing came from {at.topic}/{at.partition}")
    return None if ended(message) else timestamp_of(message)
