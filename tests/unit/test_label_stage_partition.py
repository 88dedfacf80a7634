"""One partition of a label stage without Faust: which offsets it takes, and which end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Overloaded, Part
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.metrics import Metrics
from sightline.engine.records import ProducerRecord, TopicPartition
from sightline.schemas.labels import Stage
from sightline.schemas.topics import (
    EPOCHS_DONE,
    INTERACTIONS,
    INTERACTIONS_DLQ,
    INTERACTIONS_LATE,
)
from sightline.stream_workers.delivery.dead_letters import DeadLetterDesk
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from sightline.stream_workers.labels.done_epochs import DoneRange
from sightline.stream_workers.labels.effects import (
    Destination,
    Effect,
    FinishedEpochs,
    Outgoing,
    SideRow,
    Undecodable,
    nothing,
)
from sightline.stream_workers.labels.safe_offset import OffsetGap, SafeOffset
from sightline.stream_workers.labels.stage.figures import StageFigures
from sightline.stream_workers.labels.stage.partition import (
    PartitionStage,
    StageOutputs,
    StageSource,
)
from tests.patience import patient

RATE = LetterRate(limit=3, window_s=60.0, setting="labels.dead_letter_limit")
AT = TopicPartition(INTERACTIONS.name, 0)


@dataclass
class Taking:
    """A core that keeps what it is given."""

    taken: list[int] = field(default_factory=list)
    searches: int = 0
    offsets: SafeOffset = field(default_factory=SafeOffset)
    effects: list[Effect] = field(default_factory=list)
    """What the next record asks for."""
    settled: list[int] = field(default_factory=list)
    finished: list[DoneRange] = field(default_factory=list)

    def apply(self, offset: int, timestamp_ms: int, value: bytes | None) -> list[Effect]:
        """Take it."""
        del timestamp_ms, value
        self.offsets.accept(offset)
        self.taken.append(offset)
        effects, self.effects = self.effects, []
        return effects

    def skip_to(self, offset: int) -> None:
        """See `Core`."""
        self.offsets.skip_to(offset)

    def settle(self, offset: int) -> None:
        """See `Core`."""
        self.settled.append(offset)

    def finish(self, done: DoneRange) -> None:
        """See `Core`."""
        self.finished.append(done)

    def safe_offset(self) -> int | None:
        """See `Core`."""
        return self.offsets.safe(())


class World:
    """A log in memory and a partition's stage over it."""

    def __init__(self, start: int = 0) -> None:
        self.broker = MemoryBroker(
            [INTERACTIONS, INTERACTIONS_DLQ, INTERACTIONS_LATE, EPOCHS_DONE], 1
        )
        self.producer = MemoryEventProducer(self.broker)
        self.metrics = Metrics(CollectorRegistry())
        self.log = MemoryEventLog(self.broker)
        self.core = Taking()
        self._start = start

    def stage(self) -> PartitionStage:
        """A new one, on the running event loop."""
        return PartitionStage(
            StageSource(
                stage=Stage.JOIN,
                topic=AT.topic,
                partition=AT.partition,
                start=self._start,
                next_record=lambda offset: self.log.next_record(AT, offset),
            ),
            self.core,
            StageOutputs(
                producer=self.producer,
                destinations={Destination.OMITTED: INTERACTIONS_LATE.name},
                letters=DeadLetterDesk(LetterLimit(RATE), self.metrics),
            ),
            clock=ManualClock(),
            fail=_fail,
            figures=StageFigures(self.metrics, Stage.JOIN),
        )

    def sent(self, topic: str) -> tuple[int, float]:
        """How many records a topic holds, and how many the figures say were sent there."""
        told = self.metrics.label_sent.labels(Stage.JOIN.value, topic)
        return len(self.broker.records(topic)), told._value.get()

    def append(self, count: int = 1) -> None:
        """Records without sense."""
        for _ in range(count):
            MemoryEventProducer(self.broker).append(
                ProducerRecord(AT.topic, "k", b"x", partition=0)
            )


def _fail(error: BaseException) -> None:
    raise error


def run(world: World, act: Callable[[PartitionStage], object]) -> None:
    """Do something with a stage on an event loop."""

    async def main() -> None:
        stage = world.stage()
        try:
            await act(stage)  # type: ignore[misc]
        finally:
            stage.drop()

    asyncio.run(main())


def take(*offsets: int) -> Callable[[PartitionStage], object]:
    """Hand these to a stage."""

    async def act(stage: PartitionStage) -> None:
        for offset in offsets:
            await stage.take(offset, 0, b"x")

    return act


def test_gaps_that_hold_nothing_are_passed_over() -> None:
    """Ends of transactions, aborted records; at the start, too."""
    world = World()
    world.broker.skip(AT, 3)
    world.append(2)
    world.broker.skip(AT)
    world.append()
    run(world, take(3, 4, 6))
    assert world.core.taken == [3, 4, 6]


def test_a_record_that_never_came_ends_the_stage() -> None:
    """The log has it: it is lost, and what was counted is not whole."""
    world = World()
    world.append(3)
    with pytest.raises(OffsetGap, match="expected offset 1, got 2"):
        run(world, take(0, 2))


def test_what_was_deleted_below_the_start_is_passed_over() -> None:
    """Retention was faster than the stage."""
    world = World(start=1)
    world.append(5)
    world.broker.delete_below(AT, 4)
    run(world, take(4))
    assert world.core.taken == [4]


def test_what_an_earlier_assignment_fetched_is_dropped() -> None:
    """The first record is the one at the committed offset, whatever comes before it."""
    world = World(start=1)
    world.append(5)
    run(world, take(3, 4, 1, 2))
    assert world.core.taken == [1, 2]


def test_a_log_that_ends_in_a_gap_keeps_nobody_waiting() -> None:
    """Its end is passed over and may be committed; while a record is there, it is not."""
    world = World()
    world.append(2)
    world.broker.skip(AT)

    async def act(stage: PartitionStage) -> None:
        await stage.take(0, 0, b"x")
        assert not await stage.pass_over(3)
        await stage.take(1, 0, b"x")
        assert await stage.pass_over(3)
        assert (stage.position, stage.safe_offset()) == (3, 3)
        world.append()
        await stage.take(3, 0, b"x")

    run(world, act)
    assert world.core.taken == [0, 1, 3]


def test_a_log_that_grew_by_gaps_is_asked_again() -> None:
    """Its end a while ago, as of an open transaction, is no record that never came."""
    world = World()
    world.append()
    world.broker.skip(AT)

    async def act(stage: PartitionStage) -> None:
        await stage.take(0, 0, b"x")
        assert not await stage.pass_over(4)
        world.broker.skip(AT, 2)
        world.append()
        await stage.take(4, 0, b"x")
        world.broker.skip(AT)
        assert not await stage.pass_over(7)
        world.broker.skip(AT)
        assert await stage.pass_over(7)

    run(world, act)
    assert world.core.taken == [0, 4]


def test_a_log_that_does_not_answer_lets_nothing_be_passed_over() -> None:
    """Only somebody who watches asks: that is no reason to end the process."""
    world = World()
    world.append()
    world.broker.skip(AT)

    async def act(stage: PartitionStage) -> None:
        await stage.take(0, 0, b"x")
        world.broker.down = True
        assert not await stage.pass_over(2)
        world.broker.down = False
        assert await stage.pass_over(2)

    run(world, act)


def test_records_in_a_row_cost_no_question() -> None:
    """Nor does each of those that an earlier assignment fetched: one answer settles them all."""
    world, asked = World(start=1), list[int]()
    world.append(6)
    world.log = Asked(world.broker, asked)
    run(world, take(3, 4, 5, 1, 2, 3, 4))
    assert world.core.taken == [1, 2, 3, 4]
    assert asked == [1]


class Asked(MemoryEventLog):
    """Keeps what it was asked."""

    def __init__(self, broker: MemoryBroker, asked: list[int]) -> None:
        super().__init__(broker)
        self._asked = asked

    def next_record(self, at: TopicPartition, offset: int) -> int:
        """See `EventLog.next_record`."""
        self._asked.append(offset)
        return super().next_record(at, offset)


@pytest.mark.parametrize(
    ("effect", "topic", "counted"),
    [
        (Undecodable(0, b"x", "nonsense"), INTERACTIONS_DLQ.name, 0),
        (SideRow(0, Outgoing(Destination.OMITTED, "k", b"x")), INTERACTIONS_LATE.name, 1),
        (FinishedEpochs(DoneRange(1, 2, 0), nothing, nothing), EPOCHS_DONE.name, 1),
    ],
    ids=["dead letter", "side row", "epochs done"],
)
def test_a_full_queue_is_waited_out_and_counted_once(
    effect: Effect, topic: str, counted: int
) -> None:
    """Whatever is sent: a queue that other partitions fill is no reason to end the process."""
    world = World()
    full = Overloaded(Part.BROKER, "queue full")
    world.producer.refusals = [full, None, full]
    world.core.effects = [effect]

    async def act(stage: PartitionStage) -> None:
        await stage.take(0, 0, b"x")
        async with asyncio.timeout(patient(10)):
            while not (world.core.settled or world.core.finished):
                await asyncio.sleep(0)
                stage.safe_offset()

    run(world, act)
    assert world.producer.refusals == [full], "one append was refused, and one taken"
    assert world.sent(topic) == (1, counted)
