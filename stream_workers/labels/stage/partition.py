"""One partition of one stage at work: effects of its core sent, awaited, and said to be done.

Knows no Faust. Records are applied at once; finished epochs are announced one after the other by a
task of their own, so that taking goes on while acknowledgements are on their way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from sightline.engine.errors import Overloaded, PartUnavailable
from sightline.engine.ports import BatchEventProducer, Clock
from sightline.engine.records import Message, ProducerRecord
from sightline.schemas.labels import Stage
from sightline.schemas.topics import EPOCHS_DONE
from sightline.stream_workers.delivery.dead_letters import Cause, DeadLetterDesk
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.done_epochs import DoneRange
from sightline.stream_workers.labels.effects import (
    Destination,
    Effect,
    FinishedEpochs,
    Outgoing,
    SideRow,
    Undecodable,
)
from sightline.stream_workers.labels.stage.done_topic import done_event
from sightline.stream_workers.labels.stage.figures import StageFigures
from sightline.stream_workers.labels.stage.gaps import Gaps, NextRecord
from sightline.stream_workers.labels.stage.sending import Sending

MAX_ANNOUNCING = 16
"""Finished epochs of a partition that wait for their acknowledgements; then taking waits, too."""
FULL_QUEUE_PAUSE_S = 0.01


class Core(Protocol):
    """What the two cores have in common."""

    def apply(self, offset: int, timestamp_ms: int, value: bytes | None) -> list[Effect]:
        """Takes the next record, and returns what is to be sent for it."""

    def skip_to(self, offset: int) -> None:
        """The log holds nothing from the present position up to this offset."""

    def settle(self, offset: int) -> None:
        """A row that names this record is acknowledged."""

    @property
    def searches(self) -> int:
        """Counts the searches that the core holds in memory."""

    def finish(self, done: DoneRange) -> None:
        """Tells the core that these epochs are done: every output is acknowledged."""

    def safe_offset(self) -> int | None:
        """The offset up to which the group may commit, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSource:
    """The partition that a stage reads, and from where on."""

    stage: Stage
    topic: str
    """Its name without prefix."""
    partition: int
    start: int
    """The first offset to accept; what comes before that is left from an earlier assignment."""
    next_record: NextRecord
    """Where the log's first record lies from an offset on; blocks."""
    run_id: str | None = None
    """Which run of the embedded log it is; None: any other log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutputs:
    """Where a stage's effects go; one value for all partitions of a process."""

    producer: BatchEventProducer
    destinations: Mapping[Destination, str]
    """Names of topics."""
    letters: DeadLetterDesk


class PartitionStage:
    """Carries out what one core asks for.

    Args:
        core: a fresh one, of this partition.
        clock: dates `EpochDone`.
        fail: ends the process; called from a task.
        figures: counts what happens here.
    """

    def __init__(
        self,
        source: StageSource,
        core: Core,
        outputs: StageOutputs,
        *,
        clock: Clock,
        fail: Callable[[BaseException], None],
        figures: StageFigures,
    ) -> None:
        self._source = source
        self._core = core
        self._producer = outputs.producer
        self._destinations = outputs.destinations
        self._letters = outputs.letters
        self._clock = clock
        self._fail = fail
        self._figures = figures
        self._closed_ms: dict[DoneRange, int] = {}
        self._pending: dict[int, Future[Message]] = {}
        self._sending: Sending | None = None
        self._finished: asyncio.Queue[FinishedEpochs] = asyncio.Queue(MAX_ANNOUNCING)
        self._announcer = asyncio.create_task(self._announce_all())
        self._begun = False
        self._gaps = Gaps(f"{source.topic}/{source.partition}", source.next_record)
        self.position = source.start
        self.progressed_at = clock.monotonic()

    async def take(
        self, offset: int, timestamp_ms: int, value: bytes | None, key: bytes | None = None
    ) -> None:
        """Apply the next record; repeats of earlier ones do nothing.

        Raises:
            OffsetGap: a record was skipped; the process must end.
            DeadLetterLimit: too many records break their contract; the process must end.
        """
        if offset < self.position:
            return
        if offset != self.position:
            if self._begun:
                await self._gaps.check(self.position, offset)
            elif not await self._gaps.is_next(self.position, offset):
                return  # fetched under an earlier assignment
            self._core.skip_to(offset)
        self._begun = True
        effects = self._core.apply(offset, timestamp_ms, value)
        self.position = offset + 1
        self.progressed_at = self._clock.monotonic()
        self._figures.applied()
        for effect in effects:
            if isinstance(effect, FinishedEpochs):
                self._closed_ms[effect.done] = timestamp_ms
                await self._finished.put(effect)
            elif isinstance(effect, SideRow):
                self._pending[effect.offset] = await self._send_side_row(effect.record)
            else:
                self._pending[effect.offset] = await self._bury(effect, timestamp_ms, key)

    async def pass_over(self, end: int) -> bool:
        """Move on to `end` if the log answers that it holds nothing to read before it."""
        try:
            passed = await self._gaps.is_next_now(self.position, end)
        except PartUnavailable:
            return False
        if passed:
            self.position = max(self.position, end)
            self._core.skip_to(end)
        return passed

    @property
    def core(self) -> Core:
        """The core that decides what is sent for this partition."""
        return self._core

    def safe_offset(self) -> int | None:
        """What may be committed now; None before the first record.

        Raises:
            PartUnavailable: a side row or dead letter was not acknowledged.
        """
        for offset in [offset for offset, sent in self._pending.items() if sent.done()]:
            self._pending.pop(offset).result()
            self._core.settle(offset)
        return self._core.safe_offset()

    def drop(self) -> None:
        """The partition is no longer ours: nothing more is sent, committed or said."""
        if self._sending is not None:
            self._sending.stop()
        self._announcer.cancel()

    async def _announce_all(self) -> None:
        try:
            while True:
                await self._announce(await self._finished.get())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the process must end
            self._fail(error)

    async def _announce(self, finished: FinishedEpochs) -> None:
        """Outputs, then markers, then `EpochDone`, each acknowledged before the next."""
        await self._send_all(finished.records())
        await self._send_all(finished.markers())
        source = self._source
        event = done_event(
            source.stage,
            source.topic,
            source.partition,
            finished.done,
            run_id=source.run_id,
            time=self._clock.now(),
        )
        record = ProducerRecord(EPOCHS_DONE.name, event.subject, event.encode())
        sent = await self._send(record)
        self._figures.sent(record.topic)
        await asyncio.wrap_future(sent)
        self._core.finish(finished.done)
        self.progressed_at = self._clock.monotonic()
        self._figures.finished(finished.done, self._closed_ms.pop(finished.done), self._clock.now())

    async def _send_all(self, records: Iterator[Outgoing]) -> None:
        batch = self._producer.batch()
        sending = self._sending = Sending(batch, records, self._destinations)
        while not sending.ended:
            queued = await asyncio.to_thread(sending.step)
            for topic, count in queued.items():
                self._figures.sent(topic, count)
            if queued:
                self.progressed_at = self._clock.monotonic()
            elif not sending.ended:
                await asyncio.sleep(FULL_QUEUE_PAUSE_S)
        await asyncio.wrap_future(batch.seal())

    async def _send_side_row(self, row: Outgoing) -> Future[Message]:
        topic = self._destinations[row.destination]
        sent = await self._send(ProducerRecord(topic, row.key, row.value, partition=row.partition))
        self._figures.sent(topic)
        return sent

    async def _bury(
        self, undecodable: Undecodable, timestamp_ms: int, key: bytes | None
    ) -> Future[Message]:
        record = Message(
            topic=self._source.topic,
            partition=self._source.partition,
            offset=undecodable.offset,
            key=key,
            value=undecodable.value,
            timestamp=instants.moment(timestamp_ms),
        )
        cause = Cause(stage=self._source.stage, error="ContractError", reason=undecodable.reason)
        return await self._send(self._letters.letter(record, cause))

    async def _send(self, record: ProducerRecord) -> Future[Message]:
        """Queue one record; waits while the local queue is full."""
        while True:
            try:
                return self._producer.append(record)
            except Overloaded:
                await asyncio.sleep(FULL_QUEUE_PAUSE_S)
