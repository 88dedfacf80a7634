"""The last record of a partition, and the first one from an offset on: offsets have gaps."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaPartition

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka.clients import asking, ended, open_reader
from sightline.engine.event_log.kafka.consumer import message_of
from sightline.engine.event_log.kafka.settling import watermarks
from sightline.engine.records import Message, TopicPartition
from sightline.engine.settings import KafkaSettings

_FURTHER_BACK = 16


def last_records(settings: KafkaSettings, topic: str) -> dict[int, Message | None]:
    """Per partition of a topic that is not compacted, its last record; None: it is empty.

    No partition at all: there is no such topic.

    Raises:
        PartUnavailable: the broker did not answer for `request_timeout_s`.
    """
    name = settings.topic_prefix + topic
    with asking(open_reader(settings), f"asking where {topic} ends") as consumer:
        known = consumer.list_topics(timeout=settings.request_timeout_s).topics
        if name not in known:
            return {}
        return {p: _last(consumer, settings, name, p) for p in sorted(known[name].partitions)}


def next_record(settings: KafkaSettings, at: TopicPartition, offset: int) -> int:
    """The offset of the first record that can be read from `offset` on, else where the log ends.

    Raises:
        PartUnavailable: the broker did not answer for `request_timeout_s`.
    """
    place = KafkaPartition(settings.topic_prefix + at.topic, at.partition)
    with asking(open_reader(settings), f"asking what follows in {at.topic}") as consumer:
        low, high = watermarks(consumer, place, timeout_s=settings.request_timeout_s)
        if offset >= high:
            return high
        following = _records(consumer, settings, place, max(low, offset))
        return next((record.offset for record in following), high)


def _last(consumer: Consumer, settings: KafkaSettings, name: str, number: int) -> Message | None:
    """The last that can be read: ends of transactions and aborted records may lie behind it."""
    place = KafkaPartition(name, number)
    low, high = watermarks(consumer, place, timeout_s=settings.request_timeout_s)
    back = 1
    while high > low:
        start = max(low, high - back)
        last = None
        for last in _records(consumer, settings, place, start):
            if last.offset >= high - 1:
                break
        if last is not None:
            return last
        if start == low:
            return None
        back *= _FURTHER_BACK
    return None


def _records(
    consumer: Consumer, settings: KafkaSettings, place: KafkaPartition, start: int
) -> Iterator[Message]:
    """What can be read from an offset on, up to where the log ends now."""
    consumer.assign([KafkaPartition(place.topic, place.partition, start)])
    while True:
        record = consumer.poll(settings.request_timeout_s)
        if record is None:
            where = f"{place.topic}/{place.partition}"
            raise PartUnavailable(Part.BROKER, f"nothing came from {where} at {start}")
        if ended(record):
            return
        yield message_of(record, settings.topic_prefix)
