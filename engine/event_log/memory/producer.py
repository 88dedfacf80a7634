"""Appends to the log in memory; what is appended is acknowledged at once."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime

from sightline.engine.errors import Part, PartUnavailable, SightlineError
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.records import Message, ProducerRecord

_NOWHERE = -1


class MemoryEventProducer:
    """A `BatchEventProducer` on a broker in memory; its queue is full when it is told to be.

    Args:
        broker: keeps what is appended.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._closed = False
        self.refusals: list[SightlineError | None] = []
        """What each of its next appends raises, as with a full queue; none: that one is taken."""
        self.answer: Future[Message] | None = None
        """While set, all appends give it instead of their own: they hear nothing until it ends."""

    def append(self, record: ProducerRecord) -> Future[Message]:
        """See `EventProducer.append`.

        Raises:
            PartUnavailable: the producer is closed.
            SightlineError: the next of `refusals`.
        """
        self._refuse_if_closed()
        self._refuse_if_told()
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
        return self.answer or ended

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

    def _refuse_if_told(self) -> None:
        with self._broker.changed:
            refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal


class MemoryBatch:
    """An `EventBatch` of a producer in memory."""

    def __init__(self, producer: MemoryEventProducer) -> None:
        self._producer = producer
        self._sent: list[Future[Message]] = []

    def append(self, record: ProducerRecord) -> None:
        """See `EventBatch.append`."""
        self._sent.append(self._producer.append(record))

    def seal(self) -> Future[int]:
        """See `EventBatch.seal`."""
        ended: Future[int] = Future()
        self._end(ended)
        return ended

    def _end(self, ended: Future[int]) -> None:
        left = next((sent for sent in self._sent if not sent.done() or sent.exception()), None)
        if left is None:
            ended.set_result(len(self._sent))
        elif left.done():
            ended.set_exception(left.exception())
        else:
            left.add_done_callback(lambda _: self._end(ended))
