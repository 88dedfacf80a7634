"""Appends to the log in memory; what is appended is acknowledged at once."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime

from sightline.engine.errors import Part, PartUnavailable, SightlineError
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.records import Message, ProducerRecord

_NOWHERE = -1


class MemoryEventProducer:
    """A `BatchEventProducer` on a broker in memory; its queue is never full.

    Args:
        broker: keeps what is appended.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._closed = False

    def append(self, record: ProducerRecord) -> Future[Message]:
        """See `EventProducer.append`.

        Raises:
            PartUnavailable: the producer is closed.
        """
        self._refuse_if_closed()
        message = Message(
            topic=record.topic,
            partition=_NOWHERE,
            offset=_NOWHERE,
            key=record.key.encode(),
            value=record.value,
            timestamp=record.timestamp or datetime.now(UTC),
            headers=tuple(record.headers),
        )
        ended: Future[Message] = Future()
        try:
            ended.set_result(self._broker.append(message, record.partition))
        except SightlineError as error:
            ended.set_exception(error)
        return ended

    def batch(self) -> MemoryBatch:
        """See `BatchEventProducer.batch`.

        Raises:
            PartUnavailable: the producer is closed.
        """
        self._refuse_if_closed()
        return MemoryBatch(self)

    def flush(self, timeout_s: float) -> None:
        """See `EventProducer.flush`: nothing ever waits."""

    def close(self) -> None:
        """See `EventProducer.close`."""
        self._closed = True

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise PartUnavailable(Part.BROKER, "this producer is closed")


class MemoryBatch:
    """An `EventBatch` of a producer in memory."""

    def __init__(self, producer: MemoryEventProducer) -> None:
        self._producer = producer
        self._appended = 0
        self._failure: BaseException | None = None

    def append(self, record: ProducerRecord) -> None:
        """See `EventBatch.append`."""
        sent = self._producer.append(record)
        self._failure = self._failure or sent.exception()
        self._appended += 1

    def seal(self) -> Future[int]:
        """See `EventBatch.seal`."""
        ended: Future[int] = Future()
        if self._failure is None:
            ended.set_result(self._appended)
        else:
            ended.set_exception(self._failure)
        return ended
