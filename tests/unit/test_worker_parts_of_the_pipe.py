"""The joints of the pipe: queues, room, offsets, thread crew, patience and outbox."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from sightline.engine.clock import EPOCH, ManualClock, SystemClock
from sightline.engine.errors import Overloaded, Part, PartUnavailable
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.ports import EventConsumer, RebalanceListener
from sightline.engine.records import Message, ProducerRecord, TopicPartition
from sightline.engine.settings import WorkerSettings
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.offsets import LaneOffsets
from sightline.stream_workers.delivery.outbox import Outbox
from sightline.stream_workers.delivery.retries import GaveUp, Patience
from sightline.stream_workers.delivery.threads import Crew
from sightline.stream_workers.indexing.byte_budget import ByteBudget, HeldBytes
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.lane_queue import LaneQueue
from sightline.stream_workers.indexing.lane_room import LaneRoom
from sightline.stream_workers.indexing.poll import LanePoller
from tests.patience import patient
from tests.waiting import eventually
from tests.worker_parts import MemoryConsumer, MemoryLog

PLACE = TopicPartition("images.v1", 0)
QUICK = WorkerSettings(backoff_initial_s=0.0, backoff_max_s=0.0)


def message(offset: int, topic: str = PLACE.topic) -> Message:
    """A record at that offset."""
    return Message(topic=topic, partition=0, offset=offset, key=b"a", value=b"", timestamp=EPOCH)


def lane_offsets() -> LaneOffsets:
    """Offsets for whose durability nobody hurries."""
    return LaneOffsets(threading.Event())


def test_a_queue_gives_urgent_then_live_then_backfill() -> None:
    """In order of arrival within each, and backfill never fills up a live batch."""
    queue: LaneQueue[str] = LaneQueue(ManualClock())
    queue.put(Lane.BACKFILL, ["b1", "b2"])
    queue.put(Lane.LIVE, ["l1", "l2"])
    queue.put(Lane.LIVE, ["hide"], urgent=True)
    assert queue.take(8, 0) == ["hide", "l1", "l2"]
    assert queue.take(8, 0, backfill_most=lambda: 1) == ["b1"]
    assert queue.take(8, 0, backfill_most=lambda: 0) == []
    queue.close()
    assert queue.take(8, 60) == ["b2"]
    assert queue.take(8, 60) == []


def test_takers_share_what_is_queued() -> None:
    """One never takes what another could begin with, nor leaves a last one lying."""
    queue: LaneQueue[int] = LaneQueue(ManualClock(), takers=2)
    queue.put(Lane.LIVE, range(5))
    assert queue.take(8, 0) == [0, 1, 2]
    assert queue.take(8, 0) == [3]
    assert queue.take(8, 0) == [4]
    queue.put(Lane.BACKFILL, range(40))
    assert queue.take(8, 0) == list(range(8))


def test_what_is_put_off_is_taken_when_it_is_due_or_hurried() -> None:
    """In order of time, then as if it had been put there at that moment."""
    clock = ManualClock()
    queue: LaneQueue[str] = LaneQueue(clock)
    queue.put(Lane.LIVE, ["second"], after_s=2.0)
    queue.put(Lane.LIVE, ["first"], after_s=1.0)
    assert queue.take(8, 0) == []
    assert queue.depth(Lane.LIVE) == 0, "it waits for its time, not for a taker"
    clock.advance(1.0)
    assert queue.take(8, 0) == ["first"]
    assert queue.take(8, 0) == []
    queue.hurry()
    assert queue.take(8, 0) == ["second"]


def test_a_taker_that_waits_is_there_when_the_time_comes() -> None:
    """It waits no longer than until the next item is due, however long its own time-out is."""
    queue: LaneQueue[str] = LaneQueue(SystemClock())
    queue.put(Lane.LIVE, ["soon"], after_s=0.01)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(queue.take, 1, 10 * patient(10))
        try:
            assert taken.result(patient(10)) == ["soon"]
        finally:
            queue.close()


class AskedClock(SystemClock):
    """Tells how often it was asked."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        self.asked.release()
        return super().monotonic()


@pytest.mark.parametrize("backfill", [["b"], []])
def test_a_kick_wakes_only_who_may_take_backfill(backfill: list[str]) -> None:
    """Every other taker goes on waiting for what it waits for: waking eight costs all of them."""
    clock, allowed = AskedClock(), [0]
    queue: LaneQueue[str] = LaneQueue(clock)
    queue.put(Lane.BACKFILL, backfill)
    queue.put(Lane.LIVE, ["due"], after_s=1_000 if backfill else 0.1)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(queue.take, 1, 60, backfill_most=lambda: allowed[0])
        for _ in range(3):  # as it was put off, at the first look, and before the wait
            assert clock.asked.acquire(timeout=patient(10))
        allowed[0] = 1
        queue.kick()
        assert taken.result(patient(10)) == (backfill or ["due"])


def room(clock: ManualClock) -> LaneRoom:
    """Four of each lane, two waiting, backfill only while less than two live ones are in."""
    return LaneRoom({Lane.LIVE: 4, Lane.BACKFILL: 4}, parked_limit=2, live_share=2, clock=clock)


def test_backfill_enters_only_while_live_leaves_room() -> None:
    """A live backlog keeps it out."""
    here = room(ManualClock())
    assert here.free(Lane.BACKFILL) == 4
    here.enter(Lane.LIVE, 2)
    assert here.free(Lane.BACKFILL) == 0
    assert here.free(Lane.LIVE) == 2
    here.leave(Lane.LIVE)
    assert here.free(Lane.BACKFILL) == 4


def test_who_waits_for_room_in_a_full_lane_is_woken_for_several_events() -> None:
    """For an eighth of what the lane holds: woken for each, it would poll them one by one."""
    here = LaneRoom({Lane.LIVE: 16}, parked_limit=2, live_share=2, clock=ManualClock())
    here.enter(Lane.LIVE, 16)
    with ThreadPoolExecutor(1) as pool:
        free = pool.submit(here.free, Lane.LIVE, 60)
        waiting = here._changed._waiters  # type: ignore[attr-defined]
        eventually(lambda: bool(waiting))
        here.leave(Lane.LIVE)
        assert waiting
        here.leave(Lane.LIVE)
        assert free.result(patient(10)) == 2


def test_what_waits_for_bytes_takes_no_room_until_too_much_waits() -> None:
    """Parked events are counted apart, up to a bound of their own."""
    here = room(ManualClock())
    here.enter(Lane.LIVE, 4)
    assert here.free(Lane.LIVE) == 0
    here.park(Lane.LIVE)
    assert here.free(Lane.LIVE) == 1
    here.park(Lane.LIVE)
    assert here.free(Lane.LIVE) == 0
    here.unpark(Lane.LIVE)
    assert here.in_flight(Lane.LIVE) == 4
    assert here.free(Lane.LIVE) == 1


def test_live_traffic_is_remembered_for_a_while() -> None:
    """So that a thread stays free for the next one."""
    clock = ManualClock()
    here = room(clock)
    assert not here.live_within(5)
    here.enter(Lane.LIVE, 1)
    clock.advance(4)
    assert here.live_within(5)
    clock.advance(2)
    assert not here.live_within(5)


def test_offsets_are_committed_up_to_the_first_gap() -> None:
    """Whatever the order of finishing; offsets that compaction took away are no gap."""
    offsets = lane_offsets()
    offsets.assign([PLACE])
    ledgers = {n: offsets.start(message(n)) for n in (3, 4, 9)}
    assert offsets.to_commit() == {}
    for finished, expected in ((4, {}), (3, {PLACE: 9}), (9, {PLACE: 10})):
        ledger = ledgers[finished]
        assert ledger is not None
        offsets.finish([(ledger, finished)])
        assert offsets.to_commit() == expected
    offsets.committed({PLACE: 10})
    assert offsets.to_commit() == {}
    assert offsets.wait_durable([PLACE], 0)


def test_an_earlier_assignment_cannot_move_the_present_one() -> None:
    """A partition that left and came back starts anew; one that left is not started at all."""
    offsets = lane_offsets()
    offsets.assign([PLACE])
    old = offsets.start(message(3))
    assert old is not None
    offsets.forget([PLACE])
    assert offsets.start(message(4)) is None
    offsets.assign([PLACE])
    offsets.start(message(3))
    offsets.finish([(old, 3)])
    assert offsets.to_commit() == {}
    assert offsets.oldest() == EPOCH


def test_the_first_failure_of_a_thread_is_kept() -> None:
    """It stops the worker, whatever it is."""
    crew = Crew()
    error = ZeroDivisionError("once")

    def fail() -> None:
        raise error

    crew.spawn("fails", fail)
    assert crew.failed.wait(patient(10))
    assert crew.failure is error
    crew.stop(1)


def test_a_thread_that_gave_up_is_no_failure() -> None:
    """Giving up is how a stop reaches what waits."""
    crew = Crew()

    def give_up() -> None:
        raise GaveUp("stopping")

    crew.spawn("waits", give_up).join(patient(10))
    assert not crew.failed.is_set()


def test_the_byte_budget_holds_back_but_passes_a_lone_giant() -> None:
    """Else one image larger than the budget would wait for ever."""
    budget, giving_up = ByteBudget(10), threading.Event()
    assert budget.acquire(50, giving_up)
    giving_up.set()
    assert not budget.acquire(1, giving_up)
    budget.release(50)
    assert budget.acquire(1, giving_up)


def test_bytes_are_let_go_once() -> None:
    """Whoever comes second, a follower's verdict or its wait, gives nothing back twice."""
    budget = ByteBudget(10)
    assert budget.acquire(3, threading.Event())
    held = HeldBytes(b"abc", budget)
    assert held.data == b"abc"
    held.let_go()
    held.let_go()
    assert held.data is None
    assert budget.held == 0


def test_what_is_not_acknowledged_is_sent_again() -> None:
    """A full queue is waited out, a lost acknowledgement repeated; health sees both."""
    clock = ManualClock()
    log = MemoryLog(clock)
    log.refusals = [Overloaded(Part.BROKER, "queue full")]
    log.answer = Future()
    log.answer.set_exception(PartUnavailable(Part.BROKER, "not acknowledged"))
    seen: list[bool] = []
    health = Health(clock, changed=lambda part: seen.append(part.up))
    outbox = Outbox(log, Patience(QUICK, health, Metrics()))
    letter = outbox.send(ProducerRecord("images.indexed.v1", "a", b"x"))
    log.answer = None
    assert outbox.settle(letter).offset == 1
    assert seen == [False, True, False, True]
    assert health.is_up(Part.BROKER)


def test_patience_ends_when_the_worker_stops() -> None:
    """What was waited for stays undone."""
    patience = Patience(QUICK, Health(ManualClock()), Metrics())
    calls: list[int] = []

    def away() -> None:
        calls.append(1)
        if len(calls) == 3:
            patience.giving_up.set()
        raise PartUnavailable(Part.INDEX, "away")

    with pytest.raises(GaveUp, match="index: away"):
        patience.until_it_works(Part.INDEX, away)
    assert patience.is_down(Part.INDEX)


def test_messages_are_told_apart_by_their_place() -> None:
    """A ledger belongs to one partition of one topic."""
    offsets = lane_offsets()
    offsets.assign([PLACE])
    assert offsets.start(replace(message(0), partition=1)) is None
    assert offsets.held() == (PLACE,)


def lane_poller(
    consumer: Callable[[], EventConsumer], health: Health, clock: ManualClock, metrics: Metrics
) -> LanePoller:
    """The poller of the live lane."""
    return LanePoller(
        Lane.LIVE,
        consumer,
        offsets=lane_offsets(),
        settings=QUICK,
        room=room(clock),
        context=StageContext(
            patience=Patience(QUICK, health, metrics), clock=clock, metrics=metrics
        ),
    )


@pytest.mark.parametrize("goes", ["revoked", "lost"])
def test_a_partition_that_goes_takes_its_lag_along(goes: str) -> None:
    """Its new owner tells it: what stood still here would be added to that for ever."""
    clock, metrics = ManualClock(), Metrics()
    log = MemoryLog(clock)
    poller = lane_poller(lambda: MemoryConsumer(log, "g"), Health(clock), clock, metrics)
    labels = {"lane": "live", "topic": PLACE.topic, "partition": "0"}
    clock.advance(60)
    poller.turn()
    assert metrics.registry.get_sample_value("sightline_lag_messages", labels) == 0
    getattr(poller, goes)([PLACE])
    assert metrics.registry.get_sample_value("sightline_lag_messages", labels) is None


class Silent(MemoryConsumer):
    """Its polls are empty, whether or not its broker is there."""

    answers = False

    def ask(self) -> None:
        """As `answers` says."""
        if not self.answers:
            raise PartUnavailable(Part.BROKER, "no answer")


def test_an_empty_poll_is_no_answer_of_a_broker_that_was_down() -> None:
    """Only what was read, or asked for, brings it up again."""
    clock = ManualClock()
    health, metrics = Health(clock), Metrics()
    consumer = Silent(MemoryLog(clock), "group")
    poller = lane_poller(lambda: consumer, health, clock, metrics)
    health.down(Part.BROKER, "somebody saw it")
    poller.turn()
    assert not health.is_up(Part.BROKER)
    consumer.answers = True
    poller.turn()
    assert health.is_up(Part.BROKER)


class Late(MemoryConsumer):
    """Its first attempt to join fails."""

    def __init__(self, log: MemoryLog, group: str, closed: list[bool], *, joins: bool) -> None:
        super().__init__(log, group)
        self._joins = joins
        self._closed = closed

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `EventConsumer.subscribe`."""
        if not self._joins:
            raise PartUnavailable(Part.BROKER, "starting")
        super().subscribe(topics, listener)

    def close(self) -> None:
        """See `EventConsumer.close`."""
        self._closed.append(self._joins)
        super().close()


def test_a_lane_whose_broker_is_down_at_first_joins_later() -> None:
    """Neither a consumer that cannot be made nor one that cannot join is polled for ever."""
    clock, metrics = ManualClock(), Metrics()
    health, log, closed = Health(clock), MemoryLog(clock), list[bool]()
    made: list[int] = []

    def make() -> EventConsumer:
        made.append(len(made))
        if len(made) == 1:
            raise PartUnavailable(Part.BROKER, "down")
        return Late(log, "group", closed, joins=len(made) > 2)

    poller = lane_poller(make, health, clock, metrics)
    for attempts in (1, 2):
        poller.turn()
        assert len(made) == attempts
        assert not health.is_up(Part.BROKER)
    assert closed == [False], "what could not join is not left behind"
    log.append(ProducerRecord("images.v1", "a", b"x")).result()
    assert poller.turn()
    assert health.is_up(Part.BROKER)
    assert poller.offsets.held() == (PLACE,)
    poller.closing.set()
    assert list(poller.polls()) == []
    assert closed == [False, True]
    assert len(made) == 3


@pytest.mark.parametrize("closing", [True, False])
def test_a_lane_that_never_joined_says_that_it_is_closed(*, closing: bool) -> None:
    """Whoever stops the worker waits for that, and makes no consumer only to close it."""
    clock, made = ManualClock(), list[bool]()

    def make() -> EventConsumer:
        made.append(True)
        raise RuntimeError("wrongly set up")

    poller = lane_poller(make, Health(clock), clock, Metrics())
    if closing:
        poller.closing.set()
        assert list(poller.polls()) == []
    else:
        with pytest.raises(RuntimeError):
            next(poller.polls())
    assert poller.closed.is_set()
    assert len(made) == int(not closing)
