"""The Faust shell of a label stage: raw records in, one computed safe offset a partition out.

What Faust would do by itself is switched off where it was measured to lose or repeat something:
no tables, no acknowledgements of its own (`noack`), no waiting for them at a rebalance
(`stream_wait_empty`, which would hang it), no exception survived.
Why Faust, and only here: docs/adr/0006.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import faust
from faust.types import TP

from sightline.engine.ports import Clock
from sightline.stream_workers.labels.rules import MS_PER_S
from sightline.stream_workers.labels.stage.figures import StageFigures
from sightline.stream_workers.labels.stage.partition import PartitionStage

COMMIT_INTERVAL_S = 1.0
LAST_COMMIT_S = 5.0
"""How long a stop waits for its last commit; records that it does not commit are read again."""
_log = logging.getLogger(__name__)

PrepareAll = Callable[[list[int]], Mapping[int, Callable[[], PartitionStage]]]
"""Blocking: where each of these partitions starts and what is done there, as ready makers."""


class Stalled(RuntimeError):
    """A partition has records that nobody applies."""


@dataclass(frozen=True, kw_only=True)
class FaustStage:
    """What one Faust process needs to know."""

    name: str
    """The consumer group, without prefix."""
    topic: str
    """The topic that it reads, with its prefix."""
    prepare: PrepareAll
    clock: Clock
    fail: Callable[[BaseException], None]
    stalled_s: float
    figures: StageFigures
    tick_s: float = 10.0
    tick: Callable[[], None] | None = None
    """Join on live topics: writes `ClockTicked` to every partition."""


def attach(stage: FaustStage, app: faust.App) -> None:
    """Let an app of `driver` run a stage, once it is run with `faust.Worker`."""
    _Shell(app, stage).attach()


class _Shell:
    """Partitions of this process; lives on the app's event loop."""

    def __init__(self, app: faust.App, stage: FaustStage) -> None:
        self._app = app
        self._stage = stage
        self._topic = stage.topic
        self._partitions: dict[int, PartitionStage] = {}
        self._ready = asyncio.Event()
        self._generation = 0
        self._committed: dict[int, int] = {}
        self._preparing = asyncio.Lock()
        self._behind: dict[int, tuple[int, float]] = {}
        self._stopping = False

    def attach(self) -> None:
        """Register agent, signals and tasks with the app."""
        channel = self._app.topic(
            self._topic, value_serializer="raw", key_serializer="raw", value_type=bytes
        )
        self._app.agent(channel, name=f"{self._stage.name}-agent")(self._work)
        self._app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        self._app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        self._app.on_before_shutdown.connect(self._on_stopping, weak=False)
        self._app.task(self._commit_regularly)
        self._app.task(self._watch)
        if self._stage.tick is not None:
            self._app.task(self._tick_regularly)

    async def _work(self, stream: Any) -> None:
        try:
            async for event in stream.noack().events():
                message = event.message
                if message.topic == self._topic:
                    await self._take(message)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - Faust would go on with the next event
            self._stage.fail(error)

    async def _take(self, message: Any) -> None:
        if not self._ready.is_set():
            await self._ready.wait()
        partition = self._partitions.get(message.partition)
        if partition is None:
            await self._prepare_missing()
            partition = self._partitions.get(message.partition)
        if partition is not None:  # else it was revoked, and this is what was fetched before
            timestamp_ms = round(message.timestamp * MS_PER_S)
            await partition.take(message.offset, timestamp_ms, message.value, message.key)

    def _assigned(self) -> list[int]:
        """Asks the consumer for its partitions: records may come before Faust's signal does."""
        assigned: set[TP] = self._app.consumer.assignment()
        return sorted(tp.partition for tp in assigned if tp.topic == self._topic)

    async def _prepare_missing(self) -> None:
        """A stage for every partition that is ours and has none."""
        async with self._preparing:
            generation = self._generation
            missing = [p for p in self._assigned() if p not in self._partitions]
            if not missing:
                return
            makers = await asyncio.to_thread(self._stage.prepare, missing)
            if generation == self._generation:
                for number, make in makers.items():
                    self._partitions[number] = make()

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        """Faust seeks every partition to its committed offset: all state begins anew."""
        self._ready.clear()
        self._drop_all()

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        if self._ready.is_set():  # without a word of what was revoked
            self._drop_all()
        self._ready.set()

    async def _on_stopping(self, *_: Any, **__: Any) -> None:
        """The consumer stops next, and tasks only after it: whatever they asked it would fail."""
        self._stopping = True
        try:
            await asyncio.wait_for(self._commit(), LAST_COMMIT_S)
        except Exception as error:  # noqa: BLE001 - it ends either way, and does this again
            _log.warning("the last commit failed: %s: %s", type(error).__name__, error)

    def _drop_all(self) -> None:
        self._generation += 1
        for partition in self._partitions.values():
            partition.drop()
        self._partitions = {}
        self._committed = {}
        self._behind = {}

    async def _commit_regularly(self) -> None:
        await self._regularly(COMMIT_INTERVAL_S, self._commit)

    async def _watch(self) -> None:
        await self._regularly(min(COMMIT_INTERVAL_S, self._stage.stalled_s / 4), self._check_all)

    async def _tick_regularly(self) -> None:
        await self._regularly(self._stage.tick_s, self._tick)

    async def _regularly(self, interval_s: float, act: Callable[[], Awaitable[None]]) -> None:
        try:
            while True:
                await asyncio.sleep(interval_s)
                if self._stopping:
                    return
                await act()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the process must end
            if not self._stopping:
                self._stage.fail(error)

    async def _commit(self) -> None:
        safe = {number: stage.safe_offset() for number, stage in self._partitions.items()}
        changed = {
            number: offset
            for number, offset in safe.items()
            if offset is not None and offset > self._committed.get(number, 0)
        }
        if not changed:
            return
        generation = self._generation
        offsets = {TP(self._topic, number): offset for number, offset in changed.items()}
        # The one way to commit an offset of our own; `Consumer.commit` computes it from acks.
        consumer: Any = self._app.consumer
        if await consumer._commit_offsets(offsets) and generation == self._generation:  # noqa: SLF001
            self._committed |= changed

    async def _check_all(self) -> None:
        """End the process when a partition has lag and nothing was applied for too long.

        Raises:
            Stalled: so it was.
        """
        if self._ready.is_set():
            await self._prepare_missing()
        now = self._stage.clock.monotonic()
        for number, partition in self._partitions.items():
            safe = self._committed.get(number, partition.position)
            self._stage.figures.holds(number, partition.core.searches, partition.position - safe)
            end = self._app.consumer.highwater(TP(self._topic, number)) or 0
            if end <= partition.position:
                self._behind.pop(number, None)
                continue
            position, since = self._behind.get(number, (-1, now))
            if position != partition.position:
                position, since = partition.position, now
            self._behind[number] = (position, since)
            waited_s = now - max(since, partition.progressed_at)
            if waited_s > self._stage.stalled_s / 2 and await partition.pass_over(end):
                continue
            if waited_s > self._stage.stalled_s:
                raise Stalled(f"{self._topic}/{number}: at {position} of {end}")

    async def _tick(self) -> None:
        if self._stage.tick is not None:
            self._stage.tick()
