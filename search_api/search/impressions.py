"""What was shown, after the answer: the query picture to the store, `ResultsShown` to the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from sightline.engine.errors import Part, PartUnavailable, SightlineError, TransientError
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.ports import EventProducer, ObjectStore
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.search_ids import QUERY_PREFIX
from sightline.engine.trace_context import child_traceparent, traceparent_header
from sightline.schemas.envelope import Event
from sightline.schemas.images import ObjectReference
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import INTERACTIONS
from sightline.search_api.threads.work_room import WorkRoom

_LOG = logging.getLogger(__name__)
MAX_WAITING = 1_000
"""Impressions not yet acknowledged; more are dropped and counted, and their answers say
`feedback: false`."""
MAX_WAITING_BYTES = 256 * 1024 * 1024
"""Bytes of the pictures of impressions that are not yet acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAnswer:
    """What has to be recorded of one answer: the event, and the query picture."""

    shown: Callable[[ObjectReference | None], ResultsShown]
    """Builds the event, given where the query picture was stored, if it was."""
    picture: bytes | None
    """The query picture to keep; None: there is none, or it is not to be kept."""
    content_type: str
    sha256: str
    """The hash of `picture`, in hexadecimal digits."""
    traceparent: str | None

    @property
    def size(self) -> int:
        """Counts the bytes of the query picture, 0 without one."""
        return len(self.picture or b"")


class Impressions:
    """Records impressions behind the answers, in threads, within bounds.

    Nothing here wakes the event loop: there each impression would stand before the next request.
    What dies with the process was never acknowledged: its clicks show up as orphans (docs/api.md).

    Args:
        store: keeps query pictures.
        bucket: ours.
        producer: appends `ResultsShown`.
        threads: where they are stored and appended.
        source: CloudEvents `source`.
        health: is told when store or broker are down.
        metrics: count what became of them.
    """

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        producer: EventProducer,
        threads: Executor,
        *,
        source: str,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._producer = producer
        self._threads = threads
        self._source = source
        self._health = health
        self._metrics = metrics
        self._room = WorkRoom(MAX_WAITING, MAX_WAITING_BYTES)

    def accepts(self, *, picture_bytes: int) -> bool:
        """Whether an impression would probably be recorded: room, and the parts it needs are up."""
        store = picture_bytes == 0 or self._health.is_up(Part.STORE)
        return self._room.fits(picture_bytes) and store and self._health.is_up(Part.BROKER)

    async def record(self, impression: ShownAnswer) -> None:
        """Hand one to the threads; without room it is dropped and counted."""
        if not self._room.take(impression.size):
            self._dropped()
            return
        try:
            work = self._threads.submit(self._record, impression)
        except PartUnavailable:  # the API stops
            self._room.give(impression.size)
            self._dropped()
        else:
            work.add_done_callback(partial(self._left, impression))

    async def drain(self, timeout_s: float | None = None) -> bool:
        """Return when all are acknowledged or failed; false: some were not after `timeout_s`."""
        return await asyncio.to_thread(self._room.wait_empty, timeout_s)

    def _left(self, impression: ShownAnswer, work: Future[None]) -> None:
        """The threads were closed before its turn came."""
        if work.cancelled():
            self._room.give(impression.size)
            self._dropped()

    def _dropped(self) -> None:
        self._metrics.feedback.labels("dropped").inc()

    def _record(self, impression: ShownAnswer) -> None:
        try:
            acknowledged = self._append(impression)
        except (SightlineError, ValidationError) as error:
            self._finished(impression, error)
        else:
            acknowledged.add_done_callback(partial(self._acknowledged, impression))

    def _append(self, impression: ShownAnswer) -> Future[Message]:
        shown = impression.shown(self._kept(impression))
        event = Event[ResultsShown].of(
            shown, event_id=shown.search_id[:64], source=self._source, time=shown.issued_at
        )
        trace = traceparent_header(child_traceparent(impression.traceparent))
        return self._producer.append(
            ProducerRecord(INTERACTIONS.name, shown.actor_id, event.encode(), headers=[trace])
        )

    def _acknowledged(self, impression: ShownAnswer, appended: Future[Message]) -> None:
        self._finished(impression, appended.exception())

    def _finished(self, impression: ShownAnswer, error: BaseException | None) -> None:
        if error is None:
            self._health.up(Part.BROKER)
            self._metrics.feedback.labels("published").inc()
        else:
            if isinstance(error, TransientError):
                self._health.down(Part.BROKER, str(error))
            self._metrics.feedback.labels("failed").inc()
            _LOG.warning("an impression was not published: %s", error)
        self._room.give(impression.size)

    def _kept(self, impression: ShownAnswer) -> ObjectReference | None:
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
