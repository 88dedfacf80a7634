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
        """While set, who appends hears nothing until it ends, and then this."""

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
        if self.answer is None or ended.exception() is not None:
            return ended
        return _following(self.answer)

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
        for sent in [one for one in self._sent if not one.done()]:
            sent.add_done_callback(lambda _: self._settle(ended))
        self._settle(ended)
        return ended

    def _settle(self, ended: Future[int]) -> None:
        if ended.done():
            return
        failed = next((one for one in self._sent if one.done() and one.exception()), None)
        if failed is not None:
            ended.set_exception(failed.exception())
        elif all(one.done() for one in self._sent):
            ended.set_result(len(self._sent))


def _following(answer: Future[Message]) -> Future[Message]:
    """Ends as `answer` does; who gives up waiting for it cancels nobody else's."""
    own: Future[Message] = Future()
    own.set_running_or_notify_cancel()

    def end(answered: Future[Message]) -> None:
        if (error := answered.exception()) is not None:
            own.set_exception(error)
        else:
            own.set_result(answered.result())

    answer.add_done_callback(end)
    return own
