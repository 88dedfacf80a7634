"""Messages that must be acknowledged before an offset is committed."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass

from sightline.engine.errors import Part, PartUnavailable, TransientError
from sightline.engine.ports import EventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.stream_workers.delivery.retries import GaveUp, Patience

_LOOK_AGAIN_S = 0.5


@dataclass(eq=False, slots=True)
class Letter:
    """One message under way; kept whole so that it can be sent again."""

    record: ProducerRecord
    under_way: Future[Message]


class Outbox:
    """Sends without waiting, settles later; what is not acknowledged is sent again."""

    def __init__(self, producer: EventProducer, patience: Patience) -> None:
        self._producer = producer
        self._patience = patience

    def send(self, record: ProducerRecord) -> Letter:
        """Queue a message; waits while the local queue is full.

        Raises:
            GaveUp: the worker stops meanwhile.
        """
        return Letter(record, self._append(record))

    def settle(self, letter: Letter) -> Message:
        """Return when it is acknowledged, sending it again as often as needed.

        Raises:
            GaveUp: the worker stops meanwhile.
            TooLarge: the broker will never take it.
        """
        return self._patience.until_it_works(Part.BROKER, lambda: self._attempt(letter))

    def _attempt(self, letter: Letter) -> Message:
        try:
            return self._acknowledged(letter.under_way)
        except TransientError:
            letter.under_way = self._append(letter.record)
            raise

    def _acknowledged(self, under_way: Future[Message]) -> Message:
        while True:
            try:
                return under_way.result(timeout=_LOOK_AGAIN_S)
            except NotYet as error:
                if under_way.done():
                    raise PartUnavailable(Part.BROKER, "not acknowledged in time") from error
                if self._patience.giving_up.is_set():
                    raise GaveUp("a message is not acknowledged") from error

    def _append(self, record: ProducerRecord) -> Future[Message]:
        return self._patience.until_it_works(Part.BROKER, lambda: self._producer.append(record))
