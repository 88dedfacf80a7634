"""What was shown, after the answer: the query picture to the store, `ResultsShown` to the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from sightline.engine.errors import Part, SightlineError, TransientError
from sightline.engine.health import Health
from sightline.engine.ports import EventProducer, ObjectStore
from sightline.engine.telemetry import Metrics, child_traceparent, traceparent_header
from sightline.schemas.envelope import Event
from sightline.schemas.images import ObjectReference
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import INTERACTIONS

_LOG = logging.getLogger(__name__)
QUERY_PREFIX = "queries/"
MAX_WAITING = 1_000
"""Impressions that wait; more are dropped and counted, and their answers say `feedback: false`."""
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


class Impressions:
    """Records impressions behind the answers, bounded, in `workers` tasks of the event loop.

    What dies with the process was never acknowledged: its clicks show up as orphans (docs/api.md).
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
        self._workers = workers
        self._waiting: asyncio.Queue[Impression] = asyncio.Queue(MAX_WAITING)
        self._waiting_bytes = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the tasks, on the running loop."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]

    def accepts(self, *, picture_bytes: int) -> bool:
        """Whether an impression would probably be recorded: room, and the parts it needs are up."""
        room = not self._waiting.full()
        room &= self._waiting_bytes + picture_bytes <= MAX_WAITING_BYTES
        store = picture_bytes == 0 or self._health.is_up(Part.STORE)
        return room and store and self._health.is_up(Part.BROKER)

    async def record(self, impression: Impression) -> None:
        """Queue one, on the event loop; without room it is dropped and counted."""
        size = len(impression.picture or b"")
        if self._waiting.full() or self._waiting_bytes + size > MAX_WAITING_BYTES:
            self._metrics.feedback.labels("dropped").inc()
            return
        self._waiting_bytes += size
        self._waiting.put_nowait(impression)

    async def drain(self) -> None:
        """Return when nothing waits any more."""
        await self._waiting.join()

    async def close(self, timeout_s: float = 5.0) -> None:
        """Record what waits, for at most `timeout_s`, and stop; the rest is counted as dropped."""
        try:
            await asyncio.wait_for(self.drain(), timeout_s)
        except TimeoutError:
            self._metrics.feedback.labels("dropped").inc(self._waiting.qsize())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            impression = await self._waiting.get()
            try:
                await self._publish(impression)
                self._metrics.feedback.labels("published").inc()
            except (SightlineError, ValidationError) as error:
                self._metrics.feedback.labels("failed").inc()
                _LOG.warning("an impression was not published: %s", error)
            finally:
                self._waiting_bytes -= len(impression.picture or b"")
                self._waiting.task_done()

    async def _publish(self, impression: Impression) -> None:
        stored = await self._kept(impression)
        shown = impression.shown(stored)
        event = Event[ResultsShown](
            id=shown.search_id[:64],
            source=self._source,
            type=shown.TYPE,
            subject=shown.search_id,
            time=shown.issued_at,
            data=shown,
        )
        trace = traceparent_header(child_traceparent(impression.traceparent))
        try:
            acknowledged = self._producer.append(
                INTERACTIONS.name, shown.actor_id, event.encode(), headers=[trace]
            )
            await asyncio.wrap_future(acknowledged)
        except TransientError as error:
            self._health.down(Part.BROKER, str(error))
            raise
        self._health.up(Part.BROKER)

    async def _kept(self, impression: Impression) -> ObjectReference | None:
        """Store the query; where that fails the impression counts, but makes no triples."""
        if impression.picture is None:
            return None
        key = QUERY_PREFIX + impression.sha256
        try:
            await asyncio.to_thread(
                self._store.put,
                self._bucket,
                key,
                impression.picture,
                content_type=impression.content_type,
            )
        except TransientError as error:
            self._health.down(Part.STORE, str(error))
            self._metrics.feedback.labels("picture_lost").inc()
            return None
        self._health.up(Part.STORE)
        return ObjectReference(
            bucket=self._bucket,
            key=key,
            size_bytes=len(impression.picture),
            content_type=impression.content_type,
            sha256=impression.sha256,
        )
