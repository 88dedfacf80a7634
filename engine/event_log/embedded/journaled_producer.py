"""An event producer that writes image events to the journal before it hands them on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

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


@dataclass(frozen=True, slots=True)
class _Waiting:
    stamped: ProducerRecord
    record: JournalRecord
    future: Future[Message]


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
        said = _said(record.topic, record.value)
        if record.value is None or said is None or record.partition is not None:
            if record.value is None and record.topic in IMAGE_TOPICS:
                self._journal.forget([record.key])
            return self._inner.append(stamped)
        waiting = _waiting(stamped, record.value, stamp, said)
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


class _Said(NamedTuple):
    """What decides between two records of one image."""

    image_id: str
    version: int
    tie: int


def _said(topic_name: str, value: bytes | None) -> _Said | None:
    """What an event says, if it belongs on its topic and is journaled; else None."""
    if topic_name not in JOURNALED or value is None:
        return None
    if len(value) > topic(topic_name).max_message_bytes - _ENVELOPE_BYTES:
        raise TooLarge(f"an event of {len(value)} bytes for {topic_name}")
    try:
        event = decode(value)
    except ContractError:
        return None
    said = event.data
    if isinstance(said, ImageState) and topic_name in IMAGE_TOPICS:
        return _Said(said.image_id, said.version, tie(said, event.id))
    if isinstance(said, ImageModerated) and topic_name not in IMAGE_TOPICS:
        return _Said(said.image_id, said.version, decision_tie(said, event.id))
    return None


def _waiting(stamped: ProducerRecord, value: bytes, stamp: datetime, said: _Said) -> _Waiting:
    written = JournalRecord(
        image_id=said.image_id,
        version=said.version,
        tie=said.tie,
        topic=stamped.topic,
        value=value,
        headers=tuple(stamped.headers),
        appended=stamp.astimezone(UTC),
    )
    future: Future[Message] = Future()
    future.set_running_or_notify_cancel()
    return _Waiting(stamped, written, future)


def _copy(done: Future[Message], to: Future[Message]) -> None:
    error = done.exception()
    if error is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())
