"""An event producer that writes image events to the journal before it hands them on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime

from sightline.engine.errors import Overloaded, Part, PartUnavailable, SightlineError, TooLarge
from sightline.engine.event_log.embedded.journal import Journal, JournalRecord
from sightline.engine.ports import Clock, EventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.schemas.envelope import ContractError
from sightline.schemas.images import ImageState, tie
from sightline.schemas.moderation import ImageModerated, decision_tie
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, IMAGES_MODERATION, topic

IMAGE_TOPICS = frozenset({IMAGES.name, IMAGES_BACKFILL.name})
DECISION_TOPICS = frozenset({IMAGES_MODERATION.name})
JOURNALED = IMAGE_TOPICS | DECISION_TOPICS
_MAX_QUEUED = 10_000
_MAX_GROUP = 500
"""Events that share one sync: under load the disk is waited for once per group."""
_ENVELOPE_BYTES = 4_096
"""Room for key, headers and framing within a topic's bound."""


class _Waiting:
    """A record on its way to the journal and on, and the future that tells of its end."""

    def __init__(self, stamped: ProducerRecord, record: JournalRecord) -> None:
        self.stamped = stamped
        self.record = record
        self.future: Future[Message] = Future()
        self.future.set_running_or_notify_cancel()


class JournaledEventProducer:
    """An `EventProducer` whose image events and decisions survive the in-process broker.

    Such an event is synced to the journal, then appended to `inner`; its future ends with
    `inner`'s acknowledgement. Other topics go straight through. What is no image event at all is
    not journaled: the worker dead-letters it.

    Args:
        inner: appends to the broker.
        journal: of this data directory.
        clock: stamps what has no time yet.
    """

    def __init__(self, inner: EventProducer, journal: Journal, *, clock: Clock) -> None:
        self._inner = inner
        self._journal = journal
        self._clock = clock
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(_MAX_QUEUED)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def append(self, record: ProducerRecord) -> Future[Message]:
        """See `EventProducer.append`."""
        stamp = record.timestamp or self._clock.now()
        stamped = record._replace(timestamp=stamp)
        journaled = _journaled(record, stamp)
        if journaled is None or record.partition is not None:
            if record.value is None and record.topic in IMAGE_TOPICS:
                self._journal.forget([record.key])
            return self._inner.append(stamped)
        waiting = _Waiting(stamped, journaled)
        if self._closed.is_set():
            raise PartUnavailable(Part.BROKER, "this producer is closed")
        try:
            self._queue.put_nowait(waiting)
        except queue.Full as error:
            raise Overloaded(Part.BROKER, f"{_MAX_QUEUED} events wait for the journal") from error
        return waiting.future

    def flush(self, timeout_s: float) -> None:
        """See `EventProducer.flush`."""
        deadline = self._clock.monotonic() + timeout_s
        with self._queue.all_tasks_done:
            if not self._queue.all_tasks_done.wait_for(
                lambda: self._queue.unfinished_tasks == 0, timeout_s
            ):
                raise PartUnavailable(Part.BROKER, f"the journal took longer than {timeout_s} s")
        self._inner.flush(max(0.0, deadline - self._clock.monotonic()))

    def close(self) -> None:
        """See `EventProducer.close`; the journal stays open, it is its owner's."""
        if not self._closed.is_set():
            self._closed.set()
            self._queue.put(None)
            self._thread.join()
            self._inner.close()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            group, ended = self._group(first)
            self._handle(group)
            for _ in group:
                self._queue.task_done()
            if ended:
                break
        self._queue.task_done()

    def _group(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        group = [first]
        while len(group) < _MAX_GROUP:
            try:
                following = self._queue.get_nowait()
            except queue.Empty:
                return group, False
            if following is None:
                return group, True
            group.append(following)
        return group, False

    def _handle(self, group: Sequence[_Waiting]) -> None:
        try:
            self._journal.record([waiting.record for waiting in group])
        except SightlineError as error:
            for waiting in group:
                waiting.future.set_exception(error)
            return
        for waiting in group:
            self._hand_on(waiting)

    def _hand_on(self, waiting: _Waiting) -> None:
        try:
            sent = self._inner.append(waiting.stamped)
        except SightlineError as error:
            waiting.future.set_exception(error)
            return
        sent.add_done_callback(lambda done: _copy(done, waiting.future))


def _journaled(record: ProducerRecord, stamp: datetime) -> JournalRecord | None:
    """The record as the journal keeps it; None where it is not journaled, or not of its topic.

    Raises:
        TooLarge: with key and headers it may be over its topic's bound.
    """
    if record.topic not in JOURNALED or record.value is None:
        return None
    if len(record.value) > topic(record.topic).max_message_bytes - _ENVELOPE_BYTES:
        raise TooLarge(f"an event of {len(record.value)} bytes for {record.topic}")
    try:
        event = decode(record.value)
    except ContractError:
        return None
    said = event.data
    if isinstance(said, ImageState) and record.topic in IMAGE_TOPICS:
        order = tie(said, event.id)
    elif isinstance(said, ImageModerated) and record.topic not in IMAGE_TOPICS:
        order = decision_tie(said, event.id)
    else:
        return None
    return JournalRecord(
        image_id=said.image_id,
        version=said.version,
        tie=order,
        topic=record.topic,
        value=record.value,
        headers=tuple(record.headers),
        appended=stamp.astimezone(UTC),
    )


def _copy(done: Future[Message], to: Future[Message]) -> None:
    error = done.exception()
    if error is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())
