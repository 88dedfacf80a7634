"""What is next for a generation that is being filled, and who does it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import NotFound, Part, PartUnavailable
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.lease import Lease
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.pacing import Pace
from sightline.infra.reporting import filling_lines
from sightline.stream_workers.reindexing.parity import Compared, Parity, Reason, Reproduced
from sightline.stream_workers.reindexing.plan import ObservedFilling, next_filling_step
from sightline.stream_workers.reindexing.progress import (
    FillingStep,
    ProgressRecord,
    ReindexProgress,
    filling_lease_key,
)
from sightline.stream_workers.reindexing.reindexing import Done, Reindexing
from tests.indexed_images import NOON
from tests.patience import patient
from tests.waiting import eventually


def parity(*, passed: bool = True) -> Parity:
    """A report that lets the generation serve, or does not."""
    compared = Compared(
        images=1,
        listed=1,
        hidden=0,
        decisions=0,
        looked_again=0,
        moving=0,
        differing={} if passed else {Reason.MISSING: 1},
        first=(),
    )
    return Parity(
        old="one",
        new="two",
        began_at=NOON,
        ended_at=NOON,
        compared=compared,
        recall=(),
        reproduced=Reproduced(),
    )


def asked(by: str = "features", **said: object) -> ReindexProgress:
    """What a person asked for."""
    return ReindexProgress.model_validate(
        {
            "generation": "two",
            "by": by,
            "seeded_from": "one",
            "asked_at": NOON,
            "step_began_at": NOON,
            "noted_at": NOON,
        }
        | said
    )


SEEDED = asked(seeded_at=NOON)
PROVEN = asked(seeded_at=NOON, parity=parity())
BY_BYTES = asked("bytes")


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (ObservedFilling(filling=True), FillingStep.WAIT),
        (ObservedFilling(filling=False, progress=asked()), FillingStep.WAIT),
        (ObservedFilling(filling=False, progress=asked(parity=parity())), FillingStep.WAIT),
        (ObservedFilling(filling=True, progress=asked()), FillingStep.SEED),
        (
            ObservedFilling(filling=True, progress=asked(), replayed=True, caught_up=True),
            FillingStep.SEED,
        ),
        (ObservedFilling(filling=True, progress=BY_BYTES), FillingStep.REPLAY),
        (ObservedFilling(filling=True, progress=SEEDED), FillingStep.REPLAY),
        (ObservedFilling(filling=True, progress=SEEDED, caught_up=True), FillingStep.REPLAY),
        (ObservedFilling(filling=True, progress=SEEDED, replayed=True), FillingStep.CATCH_UP),
        (
            ObservedFilling(filling=True, progress=SEEDED, replayed=True, caught_up=True),
            FillingStep.OPTIMISE,
        ),
        (
            ObservedFilling(
                filling=True, progress=SEEDED, replayed=True, caught_up=True, optimised=True
            ),
            FillingStep.PROVE,
        ),
        (ObservedFilling(filling=True, progress=PROVEN), FillingStep.REPLAY),
        (ObservedFilling(filling=True, progress=PROVEN, replayed=True), FillingStep.CATCH_UP),
        (
            ObservedFilling(filling=True, progress=PROVEN, replayed=True, caught_up=True),
            FillingStep.READY,
        ),
        (
            ObservedFilling(filling=True, progress=asked(parity=parity(passed=False))),
            FillingStep.WAIT,
        ),
    ],
)
def test_the_next_step_follows_from_what_is_known(seen: ObservedFilling, step: FillingStep) -> None:
    """The same for equal arguments, whatever happened before."""
    assert next_filling_step(seen) is step


class FakeWork:
    """Does nothing, and says what it was asked for."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.did: list[str] = []
        self.filling = True
        self.fails_in: str | None = None
        self.stops_in: str | None = None
        self.loses_lease_in: str | None = None
        self.look_at_refusal: Callable[[], None] = lambda: None
        self.lose_lease: Callable[[], None] = lambda: None
        self.passes = True
        self.meanwhile: Callable[[], object] = lambda: None
        """What others do while a step is under way."""
        self.pace = Pace(None, clock=clock, stop=threading.Event())
        """The pace of the seeding."""

    def is_filling(self) -> bool:
        """See `FillingWork.is_filling`."""
        return self.filling

    def seed(self, pace: Pace, stop: threading.Event) -> Iterator[Done]:
        """See `FillingWork.seed`."""
        self.pace = pace
        return self._step("seed", stop)

    def replay(self, pace: Pace, stop: threading.Event) -> Iterator[Done]:
        """See `FillingWork.replay`."""
        del pace
        return self._step("replay", stop)

    def catch_up(self, stop: threading.Event) -> Iterator[Done]:
        """See `FillingWork.catch_up`."""
        return self._step("catch up", stop)

    def optimise(self, stop: threading.Event) -> Iterator[Done]:
        """See `FillingWork.optimise`."""
        return self._step("optimise", stop)

    def prove(
        self, asked: ReindexProgress, pace: Pace, stop: threading.Event
    ) -> Generator[Done, None, Parity | None]:
        """See `FillingWork.prove`."""
        del asked, pace
        yield from self._step("prove", stop)
        return parity(passed=self.passes)

    def make_ready(self, parity: Parity) -> None:
        """See `FillingWork.make_ready`."""
        assert parity.passed
        self.did.append("ready")
        self.filling = False

    def refuse(self, parity: Parity) -> None:
        """See `FillingWork.refuse`."""
        assert not parity.passed
        self.look_at_refusal()
        self.did.append("refuse")

    def _step(self, name: str, stop: threading.Event) -> Iterator[Done]:
        self.did.append(name)
        if self.loses_lease_in == name:
            self.lose_lease()
            stop.wait(patient(10))
        yield Done(1, 4)
        self.meanwhile()
        if self.fails_in == name:
            raise PartUnavailable(Part.INDEX, f"no {name}")
        if self.stops_in == name:
            stop.set()
        self.clock.advance(2.0)
        yield Done(4, 4, republished=1)


class Process:
    """One process that would fill the generation; several share a store."""

    def __init__(
        self, store: MemoryObjectStore, clock: ManualClock, *, lasts_s: float = 30
    ) -> None:
        self.record = ProgressRecord(store, "bucket", "index", "two")
        self.work = FakeWork(clock)
        key = filling_lease_key("index", "two")
        lease = Lease(store, "bucket", key, lasts_s=lasts_s, clock=clock)
        self.metrics = Metrics()
        self.job = Reindexing(
            self.record, self.work, lease=lease, clock=clock, metrics=self.metrics
        )
        self.lease = lease

    def look(self) -> bool:
        """Do what is due."""
        return self.job.look(threading.Event())

    def progress(self) -> ReindexProgress:
        """How far it is."""
        found = self.record.find()
        assert found is not None
        return found


@pytest.fixture
def clock() -> ManualClock:
    """A clock that only the test turns."""
    return ManualClock(NOON)


@pytest.fixture
def store() -> MemoryObjectStore:
    """A store with our bucket."""
    return MemoryObjectStore("bucket")


@pytest.fixture
def process(store: MemoryObjectStore, clock: ManualClock) -> Process:
    """A process, asked to re-index by features."""
    made = Process(store, clock)
    made.record.ask(asked())
    return made


WHOLE = ["seed", "replay", "catch up", "optimise", "prove", "ready"]


def test_a_generation_is_filled_proven_and_ready(process: Process) -> None:
    """Each step once, in order; then there is nothing to do."""
    assert process.look()
    assert process.work.did == WHOLE
    assert not process.look()
    assert process.progress().parity == parity()
    assert process.progress().seeded_at is not None


def test_by_bytes_nothing_is_seeded(process: Process) -> None:
    """The worker reads the log; what it may have forgotten is published."""
    process.record.ask(BY_BYTES)
    process.look()
    assert process.work.did == WHOLE[1:]


@pytest.mark.parametrize("step", WHOLE[:-1])
def test_a_failure_is_told_and_the_next_look_goes_on(process: Process, step: str) -> None:
    """What is done already is not done again."""
    process.work.fails_in = step
    with pytest.raises(PartUnavailable):
        process.look()
    assert process.progress().trouble == f"index: no {step}"
    assert process.lease.is_free()
    process.work.fails_in = None
    process.look()
    assert process.work.did == [*WHOLE[: WHOLE.index(step) + 1], *WHOLE[WHOLE.index(step) :]]
    assert process.progress().trouble == ""


@pytest.mark.parametrize("step", WHOLE[:-1])
def test_another_process_goes_on_where_one_died(
    store: MemoryObjectStore, clock: ManualClock, process: Process, step: str
) -> None:
    """Only what a process must do by itself, after a start, is done once more."""
    process.work.stops_in = step
    process.look()
    assert process.work.did[-1] == step
    heir = Process(store, clock)
    heir.look()
    again = WHOLE if step == "seed" else WHOLE[1:]
    assert heir.work.did == again


def test_one_at_a_time(store: MemoryObjectStore, clock: ManualClock, process: Process) -> None:
    """While another process holds the lease nothing is done."""
    other = Process(store, clock)
    assert other.lease.take()
    assert not process.look()
    assert process.work.did == []
    other.lease.give_back()
    assert process.look()


def test_what_does_not_pass_waits_until_it_is_asked_for_again(process: Process) -> None:
    """Then it is filled and compared anew."""
    process.work.passes = False
    process.look()
    assert process.work.did == [*WHOLE[:-1], "refuse"]
    assert process.progress().refused
    assert not process.look()
    process.work.did.clear()
    process.work.passes = True
    process.record.ask(asked(asked_at=NOON.replace(hour=13)))
    process.look()
    assert process.work.did == WHOLE


@pytest.mark.parametrize("step", WHOLE[:-1])
def test_work_whose_lease_is_lost_ends_at_once(
    store: MemoryObjectStore, clock: ManualClock, step: str
) -> None:
    """Another process does it: neither its steps nor its notes are mixed with this one's."""
    process, other = Process(store, clock, lasts_s=0.03), Process(store, clock, lasts_s=0.03)
    process.record.ask(asked())

    def lose() -> None:
        clock.advance(1)
        eventually(other.lease.take, timeout_s=10)

    process.work.loses_lease_in, process.work.lose_lease = step, lose
    process.look()
    assert process.work.did == WHOLE[: WHOLE.index(step) + 1]
    assert process.progress().parity is None
    assert process.progress().done == 0
    assert not other.lease.is_free() or other.lease.take()


def test_how_far_it_is_stands_in_the_metrics(process: Process) -> None:
    """While it goes on; afterwards what it came to."""
    sample, seen = process.metrics.registry.get_sample_value, list[float | None]()

    def look() -> None:
        for labels in ({"what": "done"}, {"what": "total"}):
            seen.append(sample("sightline_reindex_images", labels | {"generation": "two"}))
        step = {"generation": "two", "step": "prove"}
        seen.append(sample("sightline_reindex_step", step))

    process.work.passes = False
    process.work.look_at_refusal = look
    process.look()
    assert seen == [4, 4, 1]
    assert sample("sightline_reindex_images", {"generation": "two", "what": "done"}) is None
    assert sample("sightline_reindexes_total", {"outcome": "refused"}) == 1


def test_a_step_under_way_goes_on_at_the_rate_that_is_wished_by_now(process: Process) -> None:
    """A repeat of the command with another one changes it; so a slow step need not end first."""
    process.record.ask(asked(rate_per_s=1.0))
    seen = list[float | None]()

    def wish() -> None:
        seen.append(process.work.pace.per_s)
        process.record.note(lambda noted: noted.model_copy(update={"rate_per_s": 50.0}))

    process.work.meanwhile = wish
    process.look()
    assert (seen[0], process.work.pace.per_s) == (1.0, 50.0)


def test_status_says_how_far_it_is() -> None:
    """The step, its images and what it waits for; at the end why it may not serve."""
    now = NOON.replace(hour=13)
    told = asked(step="catch up", done=3, total=4, trouble="index: away")
    assert filling_lines.filling_line(told, now) == (
        "two by features: catch up 3 of 4, noted 3600 s ago, waits: index: away"
    )
    halfway = asked(step="catch up", done=3, total=9, step_began_at=NOON, noted_at=now)
    assert filling_lines.filling_line(halfway, now) == (
        "two by features: catch up 3 of 9, 7200 s left of this step, noted 0 s ago"
    )
    refused = asked(parity=parity(passed=False))
    assert filling_lines.filling_line(refused, now) == "two by features: refused: 1 images: missing"


def test_progress_tells_how_far_the_step_is(process: Process) -> None:
    """Of four images all are done, and one had no features."""
    process.work.stops_in = "catch up"
    process.look()
    told = process.progress()
    assert (told.step, told.done, told.total) == (FillingStep.CATCH_UP, 1, 4) or told.done == 0


def test_without_progress_nothing_is_noted(store: MemoryObjectStore) -> None:
    """A generation that was dropped meanwhile is not begun again."""
    record = ProgressRecord(store, "bucket", "index", "two")
    assert record.find() is None
    with pytest.raises(NotFound, match="dropped"):
        record.note(lambda p: p)
    record.ask(asked())
    record.forget()
    assert record.find() is None
