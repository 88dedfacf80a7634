"""What was shown, after the answer: the query picture to the store, `ResultsShown` to the log."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from sightline.engine.errors import Part, SightlineError, TransientError
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics, child_traceparent, traceparent_header
from sightline.engine.ports import EventProducer, ObjectStore
from sightline.engine.records import Message
from sightline.schemas.envelope import Event
from sightline.schemas.images import ObjectReference
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import INTERACTIONS

_LOG = logging.getLogger(__name__)
QUERY_PREFIX = "queries/"
MAX_WAITING = 1_000
"""Impressions not yet acknowledged; more are dropped and counted, and their answers say
`feedback: false`."""
MAX_WAITING_BYTES = 256 * 1024 * 1024
"""Of pictures among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impression:
    """One answer to record."""

    shown: Callable[[ObjectReference | None], ResultsShown]
    """Builds the event, given where the query picture was stored, if it was."""
    picture: bytes | None
    """The query picture to keep; None: there is none, or it is not to be kept."""
    content_type: str
    sha256: str
    """Of `picture`."""
    traceparent: str | None

    @property
    def size(self) -> int:
        """Bytes of the picture."""
        return len(self.picture or b"")


class Impressions:
    """Records impressions behind the answers, bounded, in `workers` threads.

    Threads, and nothing that wakes the event loop: there each impression would stand before the
    next request. What dies with the process was never acknowledged: its clicks show up as orphans
    (docs/api.md).
    """

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        producer: EventProducer,
        *,
        source: str,
        health: Health,
        metrics: Metrics,
        workers: int = 4,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._producer = producer
        self._source = source
        self._health = health
        self._metrics = metrics
        self._queue: queue.SimpleQueue[Impression | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._unfinished = 0
        self._unfinished_bytes = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"impressions-{n}", daemon=True)
            for n in range(workers)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def accepts(self, *, picture_bytes: int) -> bool:
        """Whether an impression would probably be recorded: room, and the parts it needs are up."""
        store = picture_bytes == 0 or self._health.is_up(Part.STORE)
        return self._room_for(picture_bytes) and store and self._health.is_up(Part.BROKER)

    async def record(self, impression: Impression) -> None:
        """Queue one; without room it is dropped and counted."""
        with self._changed:
            room = self._room_for(impression.size)
            if room:
                self._unfinished += 1
                self._unfinished_bytes += impression.size
        if room:
            self._queue.put(impression)
        else:
            self._metrics.feedback.labels("dropped").inc()

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        await asyncio.to_thread(self._wait_finished, None)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Record what waits, for at most `timeout_s`, and stop; the rest is counted as dropped."""
        if not await asyncio.to_thread(self._wait_finished, timeout_s):
            self._metrics.feedback.labels("dropped").inc(self._emptied())
        for _ in self._threads:
            self._queue.put(None)

    def _room_for(self, picture_bytes: int) -> bool:
        return (
            self._unfinished < MAX_WAITING
            and self._unfinished_bytes + picture_bytes <= MAX_WAITING_BYTES
        )

    def _wait_finished(self, timeout_s: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._unfinished == 0, timeout_s)

    def _emptied(self) -> int:
        count = 0
        while not self._queue.empty():
            self._queue.get()
            count += 1
        return count

    def _work(self) -> None:
        while (impression := self._queue.get()) is not None:
            try:
                acknowledged = self._append(impression)
            except (SightlineError, ValidationError) as error:
                self._finished(impression, error)
            else:
                acknowledged.add_done_callback(partial(self._acknowledged, impression))

    def _append(self, impression: Impression) -> Future[Message]:
        shown = impression.shown(self._kept(impression))
        event = Event[ResultsShown](
            id=shown.search_id[:64],
            source=self._source,
            type=shown.TYPE,
            subject=shown.search_id,
            time=shown.issued_at,
            data=shown,
        )
        trace = traceparent_header(child_traceparent(impression.traceparent))
        return self._producer.append(
            INTERACTIONS.name, shown.actor_id, event.encode(), headers=[trace]
        )

    def _acknowledged(self, impression: Impression, appended: Future[Message]) -> None:
        self._finished(impression, appended.exception())

    def _finished(self, impression: Impression, error: BaseException | None) -> None:
        if error is None:
            self._health.up(Part.BROKER)
            self._metrics.feedback.labels("published").inc()
        else:
            if isinstance(error, TransientError):
                self._health.down(Part.BROKER, str(error))
            self._metrics.feedback.labels("failed").inc()
            _LOG.warning("an impression was not published: %s", error)
        with self._changed:
            self._unfinished -= 1
            self._unfinished_bytes -= impression.size
            self._changed.notify_all()

    def _kept(self, impression: Impression) -> ObjectReference | None:
        """Store the query; where that fails the impression counts, but makes no triples."""
        if impression.picture is None:
            return None
        key = QUERY_PREFIX + impression.sha256
        try:
            self._store.put(
                self._bucket, key, impression.picture, content_type=impression.content_type
            )
        except TransientError as error:
            self._health.down(Part.STORE, str(error))
            self._metrics.feedback.labels("picture_lost").inc()
            return None
        self._health.up(Part.STORE)
        return ObjectReference(
            bucket=self._bucket,
            key=key,
            size_bytes=impression.size,
            content_type=impression.content_type,
            sha256=impression.sha256,
        )
