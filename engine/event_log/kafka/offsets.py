"""Where to start reading each partition of a topic, and how many partitions it has."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from confluent_kafka import TopicPartition as KafkaPartition

from sightline.engine.errors import RefusedToStart
from sightline.engine.event_log.kafka.clients import asking, open_consumer
from sightline.engine.event_log.kafka.settling import committed_offsets, watermarks
from sightline.engine.event_log.partitions import start_within
from sightline.engine.settings import KafkaSettings


def start_offsets(
    settings: KafkaSettings, group: str, topic: str, partitions: Collection[int]
) -> dict[int, int]:
    """Per partition the group's committed offset; the log's start where that lies outside the log.

    Raises:
        PartUnavailable: the broker did not answer for `request_timeout_s`.
    """
    name, timeout_s = settings.topic_prefix + topic, settings.request_timeout_s
    with asking(open_consumer(settings, group), f"asking where to start in {topic}") as consumer:
        wanted = [KafkaPartition(name, partition) for partition in sorted(partitions)]
        found = committed_offsets(consumer, wanted, timeout_s=timeout_s)
        places = [(at, *watermarks(consumer, at, timeout_s=timeout_s)) for at in found]
        return {
            at.partition: start_within(at.offset, start=start, end=end) for at, start, end in places
        }


def offsets_since(settings: KafkaSettings, topic: str, since: datetime | None) -> dict[int, int]:
    """Per partition the offset of the first record from a moment on, else where it ends now.

    Args:
        settings: the cluster.
        topic: unprefixed; one that does not exist has no partitions.
        since: None: the log's beginning; the in-process broker knows nothing else.

    Raises:
        PartUnavailable: the broker did not answer for `request_timeout_s`.
    """
    name, timeout_s = settings.topic_prefix + topic, settings.request_timeout_s
    doing = f"asking where to start in {topic}"
    with asking(open_consumer(settings, "offsets-since"), doing) as consumer:
        known = consumer.list_topics(timeout=timeout_s).topics
        numbers = sorted(known[name].partitions) if name in known else []
        if since is None:
            return dict.fromkeys(numbers, 0)
        # The ends first: what is appended from now on must not be passed over.
        places = (KafkaPartition(name, number) for number in numbers)
        ends = {p.partition: watermarks(consumer, p, timeout_s=timeout_s)[1] for p in places}
        since_ms = round(since.timestamp() * 1_000)
        wanted = [KafkaPartition(name, number, since_ms) for number in numbers]
        found = consumer.offsets_for_times(wanted, timeout=timeout_s)
        return {at.partition: at.offset if at.offset >= 0 else ends[at.partition] for at in found}


def partition_count(settings: KafkaSettings, topic: str) -> int:
    """How many partitions the topic has.

    Raises:
        RefusedToStart: there is no such topic.
        PartUnavailable: the broker did not answer.
    """
    name = settings.topic_prefix + topic
    with asking(open_consumer(settings, "partition-count"), f"asking for {topic}") as consumer:
        known = consumer.list_topics(name, timeout=settings.request_timeout_s).topics[name]
    if not known.partitions:
        raise RefusedToStart(f"there is no topic {name}: create it with `sightline topics create`")
    return len(known.partitions)
