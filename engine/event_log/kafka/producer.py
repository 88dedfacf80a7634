"""Appends messages to Kafka: an idempotent producer whose acknowledgements end futures."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, KafkaError, KafkaException
from confluent_kafka import Message as KafkaMessage

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka.batch import KafkaBatch
from sightline.engine.event_log.kafka.clients import open_producer
from sightline.engine.event_log.kafka.config import error_of
from sightline.engine.event_log.kafka.sending import ANY_PARTITION, send, stamp_ms_of
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import KafkaSettings

_POLL_S = 0.1
_MOCK_TIME_MS = 1_234
"""What the in-process broker says it stamped, whatever it stored: there our own stamp counts."""


class KafkaEventProducer:
    """An `EventProducer` on a Kafka cluster.

    A thread of its own serves the acknowledgements, so that a future ends 0.1 ms after its
    acknowledgement (the client's asyncio producer takes 0.1-2 s: measured). Whatever happens, a
    message that was taken ends as acknowledged or as an error, within `delivery_timeout_s`:
    a topic that does not exist and an authorisation that is refused are `PartUnavailable`.

    Args:
        settings: the cluster; `topic_prefix` goes before every topic.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._prefix = settings.topic_prefix
        self._delivery_timeout_s = settings.delivery_timeout_s
        self._producer = open_producer(settings)
        self._closed = threading.Event()
        # What was taken is there before the last flush begins.
        self._taking = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="kafka-acks", daemon=True)
        self._thread.start()

    def append(self, record: ProducerRecord) -> Future[Message]:
        """See `EventProducer.append`.

        Raises:
            Overloaded: the local queue is full.
            PartUnavailable: the producer is closed.
        """
        stamp_ms = stamp_ms_of(record)
        acknowledged = _Acknowledgement(
            Message(
                topic=record.topic,
                partition=ANY_PARTITION,
                offset=-1,
                key=record.key.encode(),
                value=record.value,
                timestamp=_instant(stamp_ms),
                headers=tuple(record.headers),
            )
        )
        try:
            with self._taking:
                self._refuse_if_closed()
                send(
                    self._producer,
                    self._prefix,
                    record,
                    stamp_ms=stamp_ms,
                    on_delivery=acknowledged,
                )
        except KafkaException as error:
            acknowledged.future.set_exception(error_of(error, f"appending to {record.topic}"))
        return acknowledged.future

    def batch(self) -> KafkaBatch:
        """See `BatchEventProducer.batch`.

        Raises:
            PartUnavailable: the producer is closed.
        """
        self._refuse_if_closed()
        return KafkaBatch(self._producer, self._prefix)

    def flush(self, timeout_s: float) -> None:
        """See `EventProducer.flush`."""
        left = self._producer.flush(timeout_s)
        if left:
            raise PartUnavailable(Part.BROKER, f"{left} messages unacknowledged in {timeout_s} s")

    def close(self) -> None:
        """See `EventProducer.close`; what stays unacknowledged ends as `PartUnavailable`.

        Takes `delivery_timeout_s` and two seconds at most; when it returns, every future has ended.
        """
        with self._taking:
            if self._closed.is_set():
                return
            self._closed.set()
        # By then every message is acknowledged or has failed; the second covers a race at the end.
        if self._producer.flush(self._delivery_timeout_s + 1):
            self._producer.purge()
            self._producer.flush(1)
        self._thread.join()

    def _refuse_if_closed(self) -> None:
        if self._closed.is_set():
            raise PartUnavailable(Part.BROKER, "this producer is closed")

    def _serve(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_POLL_S)


class _Acknowledgement:
    """Librdkafka's delivery report of one message, as a future."""

    __slots__ = ("_sent", "future")

    def __init__(self, sent: Message) -> None:
        self._sent = sent
        self.future: Future[Message] = Future()
        # A future that runs cannot be cancelled: the message is on its way, whoever waits for it.
        self.future.set_running_or_notify_cancel()

    def __call__(self, error: KafkaError | None, message: KafkaMessage) -> None:
        if error is not None:
            self.future.set_exception(error_of(error, f"appending to {self._sent.topic}"))
            return
        partition, offset = message.partition(), message.offset()
        if partition is None or offset is None:
            # The client's conclusion, not the broker's word (see `producer_config`).
            self.future.set_exception(
                PartUnavailable(Part.BROKER, f"appending to {self._sent.topic}: no place was told")
            )
            return
        self.future.set_result(
            replace(
                self._sent, partition=partition, offset=offset, timestamp=self._stamped(message)
            )
        )

    def _stamped(self, message: KafkaMessage) -> datetime:
        return (
            self._sent.timestamp
            if message.timestamp()[1] == _MOCK_TIME_MS
            else timestamp_of(message)
        )


def timestamp_of(message: KafkaMessage) -> datetime:
    """A record's time in UTC; the epoch where the broker keeps none."""
    kind, milliseconds = message.timestamp()
    if kind == TIMESTAMP_NOT_AVAILABLE:
        return datetime.fromtimestamp(0, UTC)
    return _instant(milliseconds)


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
