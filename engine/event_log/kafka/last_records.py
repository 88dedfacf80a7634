"""The last record of a partition, and the first one from an offset on: offsets have gaps."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import Message as KafkaMessage
from confluent_kafka import TopicPartition as KafkaPartition

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka.clients import open_consumer
from sightline.engine.event_log.kafka.config import error_of
from sightline.engine.event_log.kafka.consumer import message_of
from sightline.engine.records import Message, TopicPartition
from sightline.engine.settings import KafkaSettings

_NEW = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
_PAUSE_S = 0.05
_FURTHER_BACK = 16


def last_records(settings: KafkaSettings, topic: str) -> dict[int, Message | None]:
    """Per partition of a topic that is not compacted, its last record; None: it is empty.

    No partition at all: there is no such topic.

    Raises:
        PartUnavailable: the broker did not answer for `request_timeout_s`.
    """
    name = settings.topic_prefix + topic
    consumer = _open(settings)
    try:
        known = consumer.list_topics(timeout=settings.request_timeout_s).topics
        if name not in known:
            return {}
        return {p: _last(consumer, settings, name, p) for p in sorted(known[name].partitions)}
    except KafkaException as error:
        raise error_of(error, f"asking where {topic} ends") from error
    finally:
        consumer.close()


def next_record(settings: KafkaSettings, at: TopicPartition, offset: int) -> int:
    """The offset of the first record that can be read from `offset` on, else where the log ends.

    Raises:
        PartUnavailable: the broker did not answer for `request_timeout_s`.
    """
    place = KafkaPartition(settings.topic_prefix + at.topic, at.partition)
    consumer = _open(settings)
    try:
        low, high = _watermarks(consumer, settings, place)
        if offset >= high:
            return high
        first = next(_records(consumer, settings, place, max(low, offset)), None)
        return high if first is None or first.offset() is None else int(first.offset() or 0)
    except KafkaException as error:
        raise error_of(error, f"asking what follows in {at.topic}") from error
    finally:
        consumer.close()


def _open(settings: KafkaSettings) -> Consumer:
    # A broker tells the end of a partition by answering empty, after having waited so long.
    return open_consumer(
        settings,
        f"reader-{uuid.uuid4().hex}",
        **{"enable.partition.eof": True, "fetch.wait.max.ms": 10},
    )


def _last(consumer: Consumer, settings: KafkaSettings, name: str, number: int) -> Message | None:
    """The last that can be read: ends of transactions and aborted records may lie behind it."""
    place = KafkaPartition(name, number)
    low, high = _watermarks(consumer, settings, place)
    back = 1
    while high > low:
        start = max(low, high - back)
        last = None
        for last in _records(consumer, settings, place, start):
            if (last.offset() or 0) >= high - 1:
                break
        if last is not None:
            return message_of(last, settings.topic_prefix)
        if start == low:
            return None
        back *= _FURTHER_BACK
    return None


def _records(
    consumer: Consumer, settings: KafkaSettings, place: KafkaPartition, start: int
) -> Iterator[KafkaMessage]:
    """What can be read from an offset on, up to where the log ends now."""
    consumer.assign([KafkaPartition(place.topic, place.partition, start)])
    while True:
        record = consumer.poll(settings.request_timeout_s)
        if record is None:
            where = f"{place.topic}/{place.partition}"
            raise PartUnavailable(Part.BROKER, f"nothing came from {where} at {start}")
        failure = record.error()
        if failure is None:
            yield record
        elif failure.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - public, vendor's name
            return
        else:
            raise KafkaException(failure)


def _watermarks(
    consumer: Consumer, settings: KafkaSettings, place: KafkaPartition
) -> tuple[int, int]:
    """Start and end; of a topic made just now only once its leader knows of it."""
    deadline = time.monotonic() + settings.request_timeout_s
    while True:
        try:
            low, high = consumer.get_watermark_offsets(place, timeout=settings.request_timeout_s)
        except KafkaException as error:
            if error.args[0].code() not in _NEW or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return int(low), int(high)
