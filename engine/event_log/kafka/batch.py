"""Many messages to Kafka that are awaited together: a count instead of a future for each.

A future for each message costs 24 µs of CPU more than this (49,000 triples of 900 bytes: 28.6 and
4.5 µs a message), nearly all of it in making, ending and waiting for the futures.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from sightline.engine.errors import Part, PartUnavailable, SightlineError
from sightline.engine.event_log.kafka.config import error_of
from sightline.engine.event_log.kafka.sending import send, stamp_ms_of
from sightline.engine.records import ProducerRecord


class KafkaBatch:
    """An `EventBatch`; one thread appends, whichever thread polls acknowledges.

    Args:
        producer: librdkafka's, served by somebody else's polling.
        prefix: goes before every topic.
    """

    def __init__(self, producer: Producer, prefix: str) -> None:
        self._producer = producer
        self._prefix = prefix
        self._lock = threading.Lock()
        # Only the appending thread counts `_appended`, which is compared once nothing follows: no
        # lock for it, though a message may be acknowledged before it is counted.
        self._appended = 0
        self._settled = 0
        self._sealed = False
        self._ended: Future[int] = Future()
        self._ended.set_running_or_notify_cancel()

    def append(self, record: ProducerRecord) -> None:
        """See `EventBatch.append`.

        Raises:
            Overloaded: the local queue is full.
        """
        try:
            send(
                self._producer,
                self._prefix,
                record,
                stamp_ms=stamp_ms_of(record),
                on_delivery=self._acknowledged,
            )
        except KafkaException as error:
            self._settle(error_of(error, f"appending to {record.topic}"))
        self._appended += 1

    def seal(self) -> Future[int]:
        """See `EventBatch.seal`."""
        with self._lock:
            self._sealed = True
            self._end_if_settled()
        return self._ended

    def _acknowledged(self, error: KafkaError | None, message: KafkaMessage) -> None:
        if error is not None:
            self._settle(error_of(error, f"appending to {message.topic()}"))
        elif message.offset() is None:
            # The client's conclusion, not the broker's word (see `producer_config`).
            self._settle(PartUnavailable(Part.BROKER, f"{message.topic()}: no place was told"))
        else:
            self._settle(None)

    def _settle(self, failed: SightlineError | None) -> None:
        """One less is on its way; the first failure decides."""
        with self._lock:
            self._settled += 1
            if failed is not None and not self._ended.done():
                self._ended.set_exception(failed)
            if self._sealed:
                self._end_if_settled()

    def _end_if_settled(self) -> None:
        if self._settled == self._appended and not self._ended.done():
            self._ended.set_result(self._appended)
