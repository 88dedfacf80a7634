"""Reads whole topics, from their beginning to where they end now, outside any group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from confluent_kafka import OFFSET_BEGINNING, Consumer
from confluent_kafka import TopicPartition as KafkaPartition

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka.clients import asking, ended, open_reader
from sightline.engine.event_log.kafka.consumer import message_of
from sightline.engine.event_log.partitions import partition_of
from sightline.engine.records import Message
from sightline.engine.settings import KafkaSettings

_BATCH = 500


def read_topics(
    settings: KafkaSettings,
    topics: Sequence[str],
    *,
    key: str | None = None,
    since: datetime | None = None,
) -> Iterator[Message]:
    """Every message that the topics hold, in order within each partition.

    Stops at the end of each partition as the broker tells it, never by counting: a compacted topic
    has gaps, and one that was emptied has no last message. Topics that do not exist are empty.

    Args:
        settings: the cluster.
        topics: names without prefix.
        key: only the one partition of each topic that this key falls on; all of it.
        since: start at the first record of each partition that was appended since.

    Raises:
        PartUnavailable: the broker did not answer for `request_timeout_s`.
    """
    with asking(open_reader(settings), "reading") as consumer:
        yield from _read(consumer, settings, topics, key, since)


def _read(
    consumer: Consumer,
    settings: KafkaSettings,
    topics: Sequence[str],
    key: str | None,
    since: datetime | None,
) -> Iterator[Message]:
    unread = _partitions(consumer, settings, topics, key)
    consumer.assign(_starts(consumer, settings, unread, since))
    while unread:
        # Two calls, since `consume(n)` alone waits for all n or for the whole timeout.
        first = consumer.poll(settings.request_timeout_s)
        if first is None:
            raise PartUnavailable(
                Part.BROKER, f"nothing came within {settings.request_timeout_s} s while reading"
            )
        for record in (first, *consumer.consume(_BATCH, 0)):
            if ended(record):
                unread.discard((str(record.topic()), int(record.partition() or 0)))
            elif (str(record.topic()), int(record.partition() or 0)) in unread:
                yield message_of(record, settings.topic_prefix)


def _starts(
    consumer: Consumer,
    settings: KafkaSettings,
    unread: set[tuple[str, int]],
    since: datetime | None,
) -> list[KafkaPartition]:
    if since is not None:
        since_ms = round(since.timestamp() * 1_000)
        wanted = [KafkaPartition(topic, number, since_ms) for topic, number in unread]
        return consumer.offsets_for_times(wanted, timeout=settings.request_timeout_s)
    return [KafkaPartition(topic, number, OFFSET_BEGINNING) for topic, number in unread]


def _partitions(
    consumer: Consumer, settings: KafkaSettings, topics: Sequence[str], key: str | None
) -> set[tuple[str, int]]:
    known = consumer.list_topics(timeout=settings.request_timeout_s).topics
    names = [settings.topic_prefix + topic for topic in topics]
    counts = {name: len(known[name].partitions) for name in names if name in known}
    if key is not None:
        return {(name, partition_of(key, count)) for name, count in counts.items() if count}
    return {(name, number) for name, count in counts.items() for number in range(count)}
