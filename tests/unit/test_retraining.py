"""When triples become a model by themselves: what is decided, and that no kill changes the end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from sightline.engine.clock import ManualClock
from sightline.engine.embedding.model_registry import ModelRegistry
from sightline.engine.errors import (
    Conflict,
    Part,
    PartUnavailable,
    RefusedToStart,
    SettingsInvalid,
    SightlineError,
)
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.lease import Lease
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.settings import RetrainingSettings
from sightline.infra.reporting.retraining_lines import retraining_told
from sightline.schemas.models import GateLine
from sightline.training.models import registry
from sightline.training.models.registry import NewModel
from sightline.training.retraining.plan import (
    MOST_STARTS,
    Come,
    Observed,
    Step,
    next_retraining_step,
)
from sightline.training.retraining.retraining import Retraining
from sightline.training.retraining.state import (
    Attempt,
    AttemptOutcome,
    Ended,
    JudgedHead,
    ReadUpTo,
    RetrainingRecord,
    RetrainingState,
    retraining_lease_key,
)
from sightline.training.retraining.watch import RetrainingWatch
from tests.label_rows import NOON
from tests.mortal import DyingStore, Killed, Mortal

BUCKET, NAME = "sightline", "clicks"
SETTINGS = RetrainingSettings(triples=100, anchors=10, age_s=3_600, look_every_s=60, lease_s=60)
ENDS = (ReadUpTo(log="log", partition=0, end=120),)
HEAD = "1" * 64
LINES = (GateLine(rule="better where clicked", outcome="too_little", says="mAP +0.01"),)


def judged(outcome: AttemptOutcome, head: str = HEAD) -> JudgedHead:
    """What the gate said of a head."""
    return JudgedHead(head=head, outcome=outcome, strength=0.35, needs=31, lines=LINES)


def attempt(**changes: Any) -> Attempt:
    """One that this process has just begun."""
    return Attempt(number=1, began_at=NOON, ends=ENDS).model_copy(update=changes)


COMES = [
    (Come(), Step.WAIT),
    (Come(triples=99, anchors=99, waited_s=3_599), Step.WAIT),
    (Come(triples=100, anchors=9), Step.WAIT),
    (Come(triples=100, anchors=10), Step.BEGIN),
    (Come(triples=1, anchors=0, waited_s=3_600), Step.BEGIN),
]


@pytest.mark.parametrize(("come", "step"), COMES)
def test_it_begins_when_enough_has_come(come: Come, step: Step) -> None:
    """Triples of enough anchors, or few that have waited long; whoever asks need not wait."""
    assert next_retraining_step(Observed(come=come), SETTINGS) is step
    assert next_retraining_step(Observed(come=come, asked=True), SETTINGS) is Step.BEGIN


def test_age_alone_can_be_left_out() -> None:
    """Few triples then wait for more, however long."""
    come = Come(triples=1, waited_s=1e9)
    assert next_retraining_step(Observed(come=come), replace_age(0)) is Step.WAIT


def replace_age(age_s: float) -> RetrainingSettings:
    """The settings with another age."""
    return SETTINGS.model_copy(update={"age_s": age_s})


GOING_ON: list[tuple[dict[str, Any], dict[str, Any], Step]] = [
    ({}, {"taken_up": False}, Step.TAKE_UP),
    ({}, {"taken_up": False, "trained": HEAD}, Step.TAKE_UP),
    ({}, {}, Step.TRAIN),
    ({}, {"trained": HEAD}, Step.EVALUATE),
    ({"judged": judged(AttemptOutcome.RELEASED, "2" * 64)}, {"trained": HEAD}, Step.EVALUATE),
    ({"judged": judged(AttemptOutcome.RELEASED)}, {}, Step.TRAIN),
    ({"judged": judged(AttemptOutcome.RELEASED)}, {"trained": HEAD}, Step.RELEASE),
    ({"judged": judged(AttemptOutcome.REFUSED)}, {"trained": HEAD}, Step.END),
    ({"judged": judged(AttemptOutcome.TOO_LITTLE)}, {"trained": HEAD}, Step.END),
    ({"digest": HEAD}, {"taken_up": False}, Step.RELEASE),
    ({"starts": MOST_STARTS}, {}, Step.TRAIN),
    ({"starts": MOST_STARTS + 1}, {}, Step.END),
    ({"starts": MOST_STARTS + 1, "digest": HEAD}, {}, Step.RELEASE),
]


@pytest.mark.parametrize(("so_far", "seen", "step"), GOING_ON)
def test_it_goes_on_where_it_stopped(
    so_far: dict[str, Any], seen: dict[str, Any], step: Step
) -> None:
    """By what is stored and what lies in the folder, whichever process it is now."""
    observed = replace(Observed(attempt=attempt(**so_far), taken_up=True), **seen)
    assert next_retraining_step(observed, SETTINGS) is step
    assert next_retraining_step(replace(observed, asked=True), SETTINGS) is step


@dataclass(kw_only=True)
class Machine(Mortal):
    """What outlives a process: bucket, folders, log; and when the present process dies."""

    clock: ManualClock = field(default_factory=ManualClock)
    store: MemoryObjectStore = field(default_factory=lambda: MemoryObjectStore(BUCKET))
    folders: dict[int, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    """Ids of events."""
    trainings: Counter[int] = field(default_factory=Counter)
    verdict: AttemptOutcome = AttemptOutcome.RELEASED
    written: int = 120
    """Triples that the sink has written so far."""
    fails: Exception | None = None
    """What a training ends in."""

    def process(self) -> Retraining:
        """A new one, on the same machine."""
        store: Any = DyingStore(self)
        lease = Lease(store, BUCKET, retraining_lease_key(NAME), lasts_s=60, clock=self.clock)
        return Retraining(
            RetrainingRecord(store, BUCKET, NAME),
            self,
            Steps(self, store),
            lease=lease,
            settings=SETTINGS,
            clock=self.clock,
        )

    def watch(self, metrics: Metrics) -> RetrainingWatch:
        """One that lets new processes of this machine do what is due."""

        def work(stop: threading.Event) -> int | None:
            try:
                self.process().look(stop)
            except Killed:
                return -9
            return 0

        return RetrainingWatch(
            RetrainingRecord(self.store, BUCKET, NAME),
            self,
            lease=Lease(
                self.store, BUCKET, retraining_lease_key(NAME), lasts_s=60, clock=self.clock
            ),
            work=work,
            settings=SETTINGS,
            metrics=metrics,
        )

    def look(self, **options: Any) -> bool:
        """One look by a process of its own."""
        return self.process().look(threading.Event(), **options)

    def state(self) -> RetrainingState:
        """The record as anybody reads it."""
        return RetrainingRecord(self.store, BUCKET, NAME).read().state

    def come(self, state: RetrainingState, settings: RetrainingSettings) -> Come:
        """See `Triples.come`."""
        del settings
        new = self.written - state.since().get(("log", 0), 0)
        return Come(triples=new, anchors=new)

    def begun(self, state: RetrainingState) -> RetrainingState:
        """See `Triples.begun`."""
        return state.begun({("log", 0): self.written}, self.clock.now())


@dataclass
class Steps:
    """What is done with an attempt, without a network: a head is the triples it was made of."""

    machine: Machine
    store: Any

    def trained(self, attempt: Attempt) -> str | None:
        """See `Work.trained`."""
        return self.machine.folders.get(attempt.number)

    def train(self, attempt: Attempt) -> None:
        """See `Work.train`."""
        if self.machine.fails is not None:
            raise self.machine.fails
        self.machine.effect()
        self.machine.trainings[attempt.number] += 1
        self.machine.folders[attempt.number] = f"{attempt.ends[0].end:064x}"

    def evaluate(self, attempt: Attempt) -> JudgedHead:
        """See `Work.evaluate`."""
        return judged(self.machine.verdict, self.machine.folders[attempt.number])

    def register(self, attempt: Attempt) -> str:
        """See `Work.register`."""
        head = self.machine.folders[attempt.number].encode()
        files = {"projection.safetensors": head} | dict.fromkeys(registry.REQUIRED, b"{}")
        model = NewModel(
            name=NAME,
            network="efficientnet_lite0",
            network_weights=HEAD,
            preprocess="p",
            dimensions=8,
            files=files,
        )
        return registry.store_model(self.store, BUCKET, model)

    def release(self, attempt: Attempt) -> int:
        """See `Work.release`."""
        assert attempt.digest is not None
        why = registry.Reasons(against=None, gate=LINES)
        now = self.machine.clock.now()
        event = registry.release(self.store, BUCKET, NAME, attempt.digest, why, now=now)
        self.machine.effect()
        self.machine.log.append(event.id)
        return event.data.number

    def tell(self, ended: Ended) -> None:
        """See `Work.tell`."""
        self.machine.effect()
        self.machine.log.append(f"{ended.outcome}-{ended.attempt.number}")


def releases(machine: Machine) -> list[str]:
    """Digests of all that was released, oldest first."""
    known = ModelRegistry(machine.store, BUCKET)
    return [event.data.digest for event in known.releases(NAME)]


def test_it_trains_judges_and_releases_unasked() -> None:
    """Once; what has come by then teaches no second attempt."""
    machine = Machine()
    assert machine.look()
    assert not machine.look()
    (digest,) = releases(machine)
    last = machine.state().last
    assert last is not None
    assert (last.outcome, last.attempt.digest) == (AttemptOutcome.RELEASED, digest)
    assert machine.log == [f"released-{NAME}-1"]
    machine.written += 100
    assert machine.look()
    assert len(releases(machine)) == 2


@pytest.mark.parametrize("verdict", [AttemptOutcome.REFUSED, AttemptOutcome.TOO_LITTLE])
def test_what_the_gate_holds_back_is_told(verdict: AttemptOutcome) -> None:
    """Which rule, by the log and to whoever asks; nothing is released."""
    machine = Machine(verdict=verdict)
    assert machine.look()
    assert releases(machine) == []
    assert machine.log == [f"{verdict}-1"]
    lines = list(retraining_told(machine.state(), NAME, machine.clock.now() + timedelta(seconds=9)))
    first = (
        f"clicks: attempt 1 {verdict}, 9 s ago: better where clicked: too_little: mAP +0.01; "
        "31 clusters more would decide"
    )
    assert lines == [first, "  too_little: better where clicked: mAP +0.01"]
    assert not machine.look()


def test_what_taught_and_was_taken_back_is_told() -> None:
    """Nobody can make that model again, and whoever asks is told so."""
    taught = judged(AttemptOutcome.REFUSED).model_copy(update={"taken_back": 2})
    ended = Ended(
        attempt=attempt(judged=taught), outcome=AttemptOutcome.REFUSED, says="", ended_at=NOON
    )
    *_, told = retraining_told(RetrainingState(last=ended), NAME, NOON)
    assert told == (
        "  2 triples that taught it were taken back before it was judged: "
        "it is no longer reproducible"
    )


@pytest.mark.parametrize("lives", range(16))
@pytest.mark.parametrize("verdict", [AttemptOutcome.RELEASED, AttemptOutcome.REFUSED])
def test_killed_anywhere_it_ends_the_same(verdict: AttemptOutcome, lives: int) -> None:
    """The next process waits for the dead one's lease, then goes on; one model, one release."""
    undisturbed = Machine(verdict=verdict)
    undisturbed.look()
    machine = Machine(verdict=verdict, lives=lives)
    try:
        machine.look()
    except Killed:
        machine.lives = None
        machine.clock.advance(61)
        machine.look()
    assert releases(machine) == releases(undisturbed)
    assert set(machine.log) == set(undisturbed.log)
    assert machine.trainings[1] == 1
    state = machine.state()
    assert state.under_way is None
    assert state.last is not None
    assert state.last.outcome is verdict
    assert not machine.look()


def test_an_attempt_that_kills_its_processes_is_given_up() -> None:
    """And no process dies of it any more; new triples begin another."""
    machine = Machine()
    for _ in range(MOST_STARTS):
        machine.lives = 2  # the lease, and the attempt or its taking up; then it trains
        with pytest.raises(Killed):
            machine.look()
        machine.clock.advance(61)
    machine.lives = None
    machine.look()
    last = machine.state().last
    assert last is not None
    assert (last.outcome, machine.trainings) == (AttemptOutcome.FAILED, Counter())
    assert last.says == f"{MOST_STARTS} processes took it up, and none of them ended it"
    assert not machine.look()


def test_one_at_a_time() -> None:
    """While one judges others look away; what the slower of two finds is dropped."""
    machine = Machine()
    inside: list[bool] = []
    first = machine.process()
    work: Any = first._work
    evaluate: Callable[[Attempt], JudgedHead] = work.evaluate

    def meanwhile(attempt: Attempt) -> JudgedHead:
        inside.append(machine.look())
        machine.clock.advance(61)  # it stood still, and another took over
        inside.append(machine.look())
        return evaluate(attempt)

    work.evaluate = meanwhile
    with pytest.raises(Conflict):
        first.look(threading.Event())
    assert inside == [False, True]
    assert len(releases(machine)) == 1
    assert machine.state().last is not None


@pytest.mark.parametrize("away", [PartUnavailable(Part.BROKER, "away"), RefusedToStart("down")])
def test_what_cannot_be_reached_is_tried_again(away: SightlineError) -> None:
    """A store or a log that is away ends no attempt, and counts as no start of it."""
    machine = Machine(fails=away)
    for _ in range(2 * MOST_STARTS):
        with pytest.raises(type(away)):
            machine.look()
    machine.fails = None
    assert machine.look()
    assert len(releases(machine)) == 1


def test_what_can_never_be_trained_ends_and_says_why() -> None:
    """Else it would be tried for ever, and nobody would be told."""
    machine = Machine(fails=SettingsInvalid("there is nothing to train on"))
    assert machine.look()
    last = machine.state().last
    assert last is not None
    assert (last.outcome, last.says) == (AttemptOutcome.FAILED, "there is nothing to train on")
    assert machine.log == ["failed-1"]
    assert not machine.look()


def test_whoever_asks_gets_one_attempt() -> None:
    """However little has come; and not a second one after it."""
    machine = Machine(written=1)
    assert not machine.look()
    assert machine.look(asked=True)
    assert machine.state().last is not None
    assert len(releases(machine)) == 1


def test_a_process_that_stops_leaves_the_rest_to_the_next() -> None:
    """At once: it gives the lease back."""
    machine, stop = Machine(), threading.Event()
    process = machine.process()
    work: Any = process._work
    train: Callable[[Attempt], None] = work.train

    def last(attempt: Attempt) -> None:
        train(attempt)
        stop.set()

    work.train = last
    assert process.look(stop)
    assert machine.state().under_way is not None
    assert machine.look()
    assert machine.trainings == Counter({1: 1})
    assert len(releases(machine)) == 1


def test_a_watch_has_done_what_is_due_and_measures_it() -> None:
    """What waits, how attempts ended, and when; a child that dies is followed by another."""
    machine, stop = Machine(verdict=AttemptOutcome.REFUSED, written=99), threading.Event()
    measured = CollectorRegistry()
    watch = machine.watch(Metrics(measured))
    assert not watch.look(stop)
    assert measured.get_sample_value("sightline_retraining_waiting_triples") == 99
    machine.written, machine.lives = 120, 2
    assert watch.look(stop)
    assert not watch.look(stop)  # the dead one's lease
    assert measured.get_sample_value("sightline_retraining_last_timestamp_seconds") == 0
    machine.clock.advance(61)
    machine.lives = None
    assert watch.look(stop)
    assert not watch.look(stop)
    ended = {"outcome": "refused"}
    assert measured.get_sample_value("sightline_retraining_attempts_total", ended) == 1
    now = machine.clock.now().timestamp()
    assert measured.get_sample_value("sightline_retraining_last_timestamp_seconds") == now


def test_a_watch_outlives_a_store_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """And a record that nobody can read: it says so, each time, and ends no process."""
    machine, stop = Machine(), threading.Event()
    machine.store.down = True
    looks: list[int] = []

    def wait(_: float) -> bool:
        looks.append(1)
        machine.store.down = False
        machine.store.put(BUCKET, f"retraining/{NAME}/state.json", b"{")
        if len(looks) == 2:
            stop.set()
        return stop.is_set()

    stop.wait = wait  # type: ignore[method-assign,assignment]
    machine.watch(Metrics(CollectorRegistry())).run(stop)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "switched off" in caplog.text
    assert "cannot be read" in caplog.text
