"""The last record of each partition of a topic: what comes after it must not be older."""

from __future__ import annotations

import time
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka.clients import open_consumer
from sightline.engine.event_log.kafka.config import error_of
from sightline.engine.event_log.kafka.consumer import message_of
from sightline.engine.records import Message
from sightline.engine.settings import KafkaSettings

_NEW = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
_PAUSE_S = 0.05


def last_records(settings: KafkaSettings, topic: str) -> dict[int, Message | None]:
    """Per partition of a topic that is not compacted, its last record; None: it is empty.

    No partition at all: there is no such topic.

    Raises:
        PartUnavailable: the broker did not answer for `request_timeout_s`.
    """
    name = settings.topic_prefix + topic
    consumer = open_consumer(settings, f"reader-{uuid.uuid4().hex}")
    try:
        known = consumer.list_topics(timeout=settings.request_timeout_s).topics
        if name not in known:
            return {}
        return {p: _last(consumer, settings, name, p) for p in sorted(known[name].partitions)}
    except KafkaException as error:
        raise error_of(error, f"asking where {topic} ends") from error
    finally:
        consumer.close()


def _last(consumer: Consumer, settings: KafkaSettings, name: str, number: int) -> Message | None:
    low, high = _watermarks(consumer, settings, KafkaPartition(name, number))
    if high <= low:
        return None
    consumer.assign([KafkaPartition(name, number, high - 1)])
    record = consumer.poll(settings.request_timeout_s)
    if record is None:
        raise PartUnavailable(Part.BROKER, f"the last record of {name}/{number} did not come")
    failure = record.error()
    if failure is not None:
        raise KafkaException(failure)
    return message_of(record, settings.topic_prefix)


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
