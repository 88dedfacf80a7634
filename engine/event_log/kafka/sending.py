"""Hands a record to librdkafka, all of it: one by itself and one of a batch alike."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as KafkaMessage

from sightline.engine.errors import Overloaded, Part
from sightline.engine.records import ProducerRecord

ANY_PARTITION = -1
_MS_PER_S, _NS_PER_MS = 1_000, 1_000_000


def send(
    producer: Producer,
    prefix: str,
    record: ProducerRecord,
    *,
    stamp_ms: int,
    on_delivery: Callable[[KafkaError | None, KafkaMessage], None],
) -> None:
    """Put a record into the client's queue.

    Args:
        producer: librdkafka's.
        prefix: goes before the topic.
        record: what is sent.
        stamp_ms: its time, see `stamp_ms_of`.
        on_delivery: called by whoever polls, with an error or with the record's place.

    Raises:
        Overloaded: the queue is full.
        KafkaException: the client refuses the record itself.
    """
    try:
        producer.produce(
            prefix + record.topic,
            record.value,
            record.key.encode(),
            partition=ANY_PARTITION if record.partition is None else record.partition,
            on_delivery=on_delivery,
            timestamp=stamp_ms,
            headers=list(record.headers) or None,  # an empty list costs as much as a header
        )
    except BufferError as error:
        raise Overloaded(Part.BROKER, "too many messages wait in this process") from error


def stamp_ms_of(record: ProducerRecord) -> int:
    """A record's own time, else the present one, in milliseconds since 1970, from 1.

    librdkafka takes 0 for the present instant, and one record of now among old ones would close
    what its partition still waits for.
    """
    if record.timestamp is None:
        return time.time_ns() // _NS_PER_MS
    return max(1, round(record.timestamp.timestamp() * _MS_PER_S))
