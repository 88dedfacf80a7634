"""One lane's consumer: polls while there is room, pauses where there is none, commits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Generator, Sequence
from functools import cached_property

from sightline.engine.errors import Part, TransientError
from sightline.engine.ports import EventConsumer
from sightline.engine.records import Message, TopicPartition
from sightline.engine.settings import WorkerSettings
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.offsets import LaneOffsets
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.lane_queue import LANE_TOPICS
from sightline.stream_workers.indexing.lane_room import LaneRoom
from sightline.stream_workers.indexing.moves import Plan
from sightline.stream_workers.indexing.task import Polled

_log = logging.getLogger(__name__)
_POLL_S = 0.1
_PAUSE_AFTER_S = 1.0
"""Full for this long: pause, so that polling can keep the membership. Pausing drops what was
prefetched, so a lane that is full for moments only just does not poll."""
_LAG_EVERY_S = 1.0


class LanePoller:
    """Owns one consumer; every call to it is made on the thread that runs `turn`.

    Is the consumer's rebalance listener: what is revoked is drained and committed in bounded time,
    what is lost is forgotten.

    Args:
        consumer: makes the consumer; the first turn calls it and joins the group.
        offsets: which offset of which partition may be committed.
        room: says how many may be polled.
    """

    def __init__(
        self,
        lane: Lane,
        consumer: Callable[[], EventConsumer],
        *,
        offsets: LaneOffsets,
        settings: WorkerSettings,
        room: LaneRoom,
        context: StageContext,
    ) -> None:
        self._lane = lane
        self._make_consumer = consumer
        self._settings = settings
        self._room = room
        self._patience = context.patience
        self._clock = context.clock
        self._metrics = context.metrics
        self._backoff = context.patience.backoff()
        self._full_since_s: float | None = None
        self._paused = False
        self._pause_again = False
        self._lag_at_s = 0.0
        self.offsets = offsets
        self.draining = threading.Event()
        self.closing = threading.Event()
        self.closed = threading.Event()

    @cached_property
    def _consumer(self) -> EventConsumer:
        """The consumer, made and joined at its first use, on the thread that then owns it.

        Raises:
            TransientError: the broker is away; the next use tries again.
        """
        consumer = self._make_consumer()
        try:
            consumer.subscribe([LANE_TOPICS[self._lane]], self)
        except BaseException:
            consumer.close()
            raise
        return consumer

    @property
    def _joined(self) -> bool:
        return "_consumer" in vars(self)

    def polls(self) -> Generator[list[Plan], None, None]:
        """Join the group, yield what each turn brings until told to close, then commit and leave.

        Whoever stops before its end closes it (`contextlib.closing`), on the same thread.
        """
        try:
            while not self.closing.is_set():
                yield self.turn()
            self._commit()
        finally:
            try:
                if self._joined:
                    self._consumer.close()
            finally:
                self.closed.set()

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """Start a ledger for each partition that is ours now."""
        self._count("assigned", partitions)
        self.offsets.assign(partitions)
        self._pause_again = True

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Drain what is in flight of them, in bounded time, and commit it."""
        self._count("revoked", partitions)
        if not self.closing.is_set():
            self._drain(partitions)
        self._commit(partitions)
        self._forget(partitions)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """Forget them; their next owner starts from what was committed."""
        self._count("lost", partitions)
        self._forget(partitions)

    def _forget(self, partitions: Collection[TopicPartition]) -> None:
        """Somebody else tells their lag from now on: ours would stand still, and be added to it."""
        self.offsets.forget(partitions)
        for topic, partition in partitions:
            self._metrics.lag.remove(self._lane, topic, partition)

    def _drain(self, partitions: Collection[TopicPartition]) -> None:
        until_s = self._clock.monotonic() + self._settings.drain_s
        while not self._patience.giving_up.is_set() and self._clock.monotonic() < until_s:
            if self.offsets.wait_durable(partitions, _POLL_S):
                return

    def turn(self, wait_s: float = _POLL_S) -> list[Plan]:
        """Poll once, commit what became durable, tell the lag; returns what is to be planned."""
        came: list[Plan] = []
        try:
            came = self._poll(wait_s)
            self._backoff.reset()
        except TransientError as error:
            self._patience.failed(Part.BROKER, error)
            self.closing.wait(self._backoff.next_s())
        self._commit()
        self._observe()
        return came

    def _poll(self, wait_s: float) -> list[Plan]:
        """Poll as many records as there is room for."""
        if self.draining.is_set():
            self.closing.wait(wait_s / 4)
            return []
        free = self._room.free(self._lane, wait_s)
        if free == 0:
            return self._stay_full()
        self._full_since_s = None
        self._pause(paused=False)
        messages = self._patience.poll_once(self._consumer, free, wait_s)
        if self.offsets.held():  # an idle log brings nothing, but the broker gave us partitions
            self._patience.worked(Part.BROKER)
        return self._started(messages)

    def _started(self, messages: Sequence[Message]) -> list[Plan]:
        """Return the records of partitions that are still ours, each noted in its ledger."""
        now = self._clock.now()
        polled = [
            Polled(message, self._lane, ledger, now)
            for message in messages
            if (ledger := self.offsets.start(message)) is not None
        ]
        return [Plan(self._lane, polled)] if polled else []

    def _stay_full(self) -> list[Plan]:
        now_s = self._clock.monotonic()
        if self._full_since_s is None:
            self._full_since_s = now_s
        if now_s - self._full_since_s < _PAUSE_AFTER_S:
            return []
        self._pause(paused=True)
        return self._started(self._consumer.poll(1, 0.0))  # none, as all is paused; still a member

    def _pause(self, *, paused: bool) -> None:
        if paused == self._paused and not (paused and self._pause_again):
            return
        self._pause_again = False
        held = self.offsets.held()
        (self._consumer.pause if paused else self._consumer.resume)(held)
        self._paused = paused
        self._metrics.paused.labels(self._lane).set(len(held) if paused else 0)

    def _commit(self, partitions: Collection[TopicPartition] | None = None) -> None:
        offsets = self.offsets.to_commit(partitions)
        if not offsets:
            return
        try:
            self._consumer.commit(offsets)
        except TransientError as error:
            self._metrics.commits.labels(self._lane, "failed").inc()
            self._patience.failed(Part.BROKER, error)
            return
        self._metrics.commits.labels(self._lane, "done").inc()
        self.offsets.committed(offsets)

    def _observe(self) -> None:
        oldest = self.offsets.oldest()
        age_s = (self._clock.now() - oldest).total_seconds() if oldest else 0.0
        self._metrics.oldest_waiting.labels(self._lane).set(max(0.0, age_s))
        self._metrics.in_flight.labels(self._lane).set(self._room.in_flight(self._lane))
        now_s = self._clock.monotonic()
        if now_s - self._lag_at_s < _LAG_EVERY_S or not self._joined:
            return
        self._lag_at_s = now_s
        for (topic, partition), messages in self._consumer.lag().items():
            self._metrics.lag.labels(self._lane, topic, partition).set(messages)

    def _count(self, kind: str, partitions: Collection[TopicPartition]) -> None:
        self._metrics.rebalances.labels(self._lane, kind).inc(len(partitions))
        _log.info("partitions %s", kind, extra={"lane": self._lane, "partitions": len(partitions)})
