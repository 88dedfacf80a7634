"""A released model comes into service by itself: what is decided, and that no kill changes it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Conflict, NotFound, Part, PartUnavailable, Unreadable
from sightline.engine.object_store.lease import Lease
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Experiment, GenerationStage, KnownGeneration, Serves
from sightline.engine.settings import RolloutSettings
from sightline.schemas.models import RolloutNoted
from sightline.stream_workers.rolling_out.figures import ServingFigures, fallen
from sightline.stream_workers.rolling_out.plan import (
    RolloutObserved,
    RolloutStep,
    experiment_name,
    next_rollout_step,
    serves,
)
from sightline.stream_workers.rolling_out.rolling_out import RollingOut
from sightline.stream_workers.rolling_out.state import (
    ExperimentFinding,
    RolloutEnded,
    RolloutOutcome,
    RolloutRecord,
    RolloutState,
    RolloutUnderWay,
    rollout_lease_key,
)
from tests.label_rows import NOON
from tests.mortal import DyingStore, Killed, Mortal

BUCKET, INDEX = "sightline", "photos"
OLD, NEW = f"clicks@{'b' * 64}", f"clicks@{'a' * 64}"
G1, G2 = Serves(generation="g-1"), Serves(generation="g-2")
PLAIN = RolloutSettings(automatic=True, experiment_share=0, watch_s=600)
TRIED = PLAIN.model_copy(update={"experiment_share": 0.5, "experiment_max_days": 2.0})
BETTER = ExperimentFinding(finding="better", says="ctr +6.1%")
LOST = ExperimentFinding(finding="incomplete", says="the log holds whole epochs since noon only")
LATER = NOON + timedelta(seconds=600)


def known(name: str, model: str, stage: GenerationStage) -> KnownGeneration:
    """A generation of the record."""
    digest = f"sha256:{name}"
    return KnownGeneration(
        name=name, model=model, model_digest=digest, group=name, stage=stage, made_at=NOON
    )


FIRST = ServingState.first(known("g-1", OLD, GenerationStage.READY), NOON)
FILLING = FIRST.with_generation(known("g-2", NEW, GenerationStage.FILLING), NOON, "made")
READY = FILLING.made_ready("g-2", NOON, "proven")
BY_MATRIX = Serves(generation="g-1", query_model=NEW)
AT_ONCE = FILLING.switched(BY_MATRIX, NOON, "at once")
PROVEN = AT_ONCE.made_ready("g-2", NOON, "proven")
SWITCHED = READY.switched(G2, NOON, "better")
BACK = SWITCHED.rolled_back(NOON, "worse")


NEW_MODEL = RolloutUnderWay(model=NEW, began_at=NOON)


def trial(name: str = experiment_name(NEW_MODEL)) -> Experiment:
    """Half of the actors get the second generation."""
    return Experiment(name=name, treatment=G2, share=0.5, salt="s", started_at=NOON)


OURS = READY.experiment_started(trial(), NOON, "a trial")
OTHERS = READY.experiment_started(trial("by-hand"), NOON, "a trial")


def on_its_way(**changes: Any) -> RolloutUnderWay:
    """The new model, proven."""
    facts = {"model": NEW, "began_at": NOON, "generation": "g-2", "proven": True}
    return RolloutUnderWay.model_validate(facts | changes)


def linear(**changes: Any) -> RolloutUnderWay:
    """The new model, which ranks the old vectors by a matrix while its own are made."""
    return on_its_way(**({"at_once": BY_MATRIX, "proven": False} | changes))


def seen(
    state: ServingState, model: RolloutUnderWay | None = None, **changes: Any
) -> RolloutObserved:
    """What is known at noon, the new model being the newest release."""
    observed = RolloutObserved(now=NOON, serving=state, newest=NEW, under_way=model)
    return replace(observed, **changes)


BEGINNINGS = [
    (seen(FIRST), RolloutStep.BEGIN),
    (seen(FIRST, newest=None), RolloutStep.WAIT),
    (seen(FIRST, newest=OLD), RolloutStep.WAIT),
    (seen(FIRST, done_with=frozenset({NEW})), RolloutStep.WAIT),
    (seen(READY), RolloutStep.BEGIN),
    (seen(SWITCHED), RolloutStep.WAIT),
    (seen(BACK), RolloutStep.END),
    (seen(BACK.dropped("g-2", NOON, timedelta(0))), RolloutStep.BEGIN),
    (seen(SWITCHED.switched(G1, NOON, "by hand")), RolloutStep.END),
]


@pytest.mark.parametrize(("observed", "step"), BEGINNINGS)
def test_it_begins_with_the_newest_release(observed: RolloutObserved, step: RolloutStep) -> None:
    """Unless that serves, had its turn, or was left: what was taken back does not come again."""
    assert next_rollout_step(observed, PLAIN).step is step


WAYS: list[tuple[RolloutObserved, RolloutSettings, RolloutStep]] = [
    (seen(FIRST, on_its_way(generation=None)), PLAIN, RolloutStep.INDEX),
    (seen(FILLING, on_its_way(proven=False)), PLAIN, RolloutStep.WAIT),
    (seen(READY, on_its_way(proven=False)), PLAIN, RolloutStep.PROVEN),
    (seen(READY, on_its_way()), PLAIN, RolloutStep.MEASURE),
    (seen(READY, on_its_way(before=ServingFigures())), PLAIN, RolloutStep.SWITCH),
    (seen(OTHERS, on_its_way(before=ServingFigures())), PLAIN, RolloutStep.WAIT),
    (seen(OTHERS, on_its_way()), TRIED, RolloutStep.WAIT),
    (seen(READY, on_its_way()), TRIED, RolloutStep.COMPARE),
    (seen(OURS, on_its_way()), TRIED, RolloutStep.COMPARE),
    (seen(OURS, on_its_way()), PLAIN, RolloutStep.COMPARE),
    (seen(OURS, on_its_way(experiment=trial())), TRIED, RolloutStep.WAIT),
    (seen(OURS, on_its_way(experiment=trial()), finding=BETTER), TRIED, RolloutStep.CONCLUDE),
    (seen(OURS, on_its_way(experiment=trial(), finding=BETTER)), TRIED, RolloutStep.STOP),
    (seen(READY, on_its_way(experiment=trial(), finding=BETTER)), TRIED, RolloutStep.STOP),
    (
        seen(READY, on_its_way(experiment=trial(), finding=BETTER, stopped=True)),
        TRIED,
        RolloutStep.MEASURE,
    ),
    (seen(OURS, on_its_way(experiment=trial()), finding=LOST), TRIED, RolloutStep.CONCLUDE),
    (
        seen(READY, on_its_way(experiment=trial(), finding=LOST, stopped=True)),
        TRIED,
        RolloutStep.BEGIN_ANEW,
    ),
    (
        seen(
            READY,
            on_its_way(experiment=trial(), finding=LOST, stopped=True),
            now=NOON + timedelta(days=2),
        ),
        TRIED,
        RolloutStep.MEASURE,
    ),
    (seen(OURS, on_its_way(attempt=2)), TRIED, RolloutStep.WAIT),
    (seen(SWITCHED, on_its_way(before=ServingFigures())), PLAIN, RolloutStep.NOTE_SWITCH),
    (seen(SWITCHED, on_its_way(proven=False)), PLAIN, RolloutStep.NOTE_SWITCH),
    (seen(SWITCHED, on_its_way(switched_at=NOON)), PLAIN, RolloutStep.WAIT),
    (seen(SWITCHED, on_its_way(switched_at=NOON), fallen="errors"), PLAIN, RolloutStep.CONDEMN),
    (seen(SWITCHED, on_its_way(switched_at=NOON, fallen="errors")), PLAIN, RolloutStep.ROLL_BACK),
    (seen(AT_ONCE, linear()), PLAIN, RolloutStep.NOTE_SWITCH),
    (seen(AT_ONCE, linear(switched_at=NOON)), PLAIN, RolloutStep.WAIT),
    (seen(AT_ONCE, linear(switched_at=NOON), now=LATER), PLAIN, RolloutStep.WAIT),
    (seen(AT_ONCE, linear(switched_at=NOON), fallen="errors"), PLAIN, RolloutStep.CONDEMN),
    (seen(AT_ONCE, linear(switched_at=NOON, fallen="errors")), PLAIN, RolloutStep.ROLL_BACK),
    (seen(PROVEN, linear(switched_at=NOON)), PLAIN, RolloutStep.PROVEN),
    (
        seen(
            PROVEN.experiment_started(trial("by-hand"), NOON, "a trial"),
            linear(switched_at=NOON, proven=True),
        ),
        PLAIN,
        RolloutStep.WAIT,
    ),
]
TOWARDS: list[tuple[RolloutObserved, RolloutSettings, RolloutStep, Serves]] = [
    (seen(FILLING, linear()), TRIED, RolloutStep.COMPARE, BY_MATRIX),
    (seen(FILLING, linear(before=ServingFigures())), PLAIN, RolloutStep.SWITCH, BY_MATRIX),
    (seen(READY, linear(before=ServingFigures(), proven=True)), PLAIN, RolloutStep.SWITCH, G2),
    (seen(READY, linear(proven=True)), TRIED, RolloutStep.COMPARE, G2),
    (
        seen(FILLING, linear(before=ServingFigures()), differs="3 images"),
        PLAIN,
        RolloutStep.SWITCH,
        BY_MATRIX,
    ),
    (seen(PROVEN, linear(switched_at=NOON, proven=True)), PLAIN, RolloutStep.SWITCH, G2),
]


@pytest.mark.parametrize(("observed", "settings", "step", "to"), TOWARDS)
def test_a_matrix_serves_until_its_own_vectors_may(
    observed: RolloutObserved, settings: RolloutSettings, step: RolloutStep, to: Serves
) -> None:
    """It is compared and serves at once; of what may serve, its own vectors are better."""
    following = next_rollout_step(observed, settings)
    assert (following.step, following.to) == (step, to)


def test_a_matrix_on_what_serves_no_more_is_none() -> None:
    """Somebody let other vectors serve: its own ones are waited for, and a refusal ends it."""
    elsewhere = linear(at_once=Serves(generation="g-0", query_model=NEW))
    assert next_rollout_step(seen(FILLING, elsewhere), PLAIN).step is RolloutStep.WAIT
    refused = next_rollout_step(seen(FILLING, elsewhere, differs="3 images"), PLAIN)
    assert refused.outcome is RolloutOutcome.REFUSED


def test_it_is_watched_anew_on_its_own_vectors() -> None:
    """They are another index, which may fail where the matrix did not."""
    whole = PROVEN.switched(G2, LATER, "its own")
    model = linear(switched_at=NOON, proven=True)
    soon, late = (LATER + timedelta(seconds=after) for after in (599, 600))
    assert next_rollout_step(seen(whole, model, now=soon), PLAIN).step is RolloutStep.WAIT
    assert next_rollout_step(seen(whole, model, now=late), PLAIN).outcome is RolloutOutcome.SERVES
    assert whole.before == (G1,), "one way back leads past both"


@pytest.mark.parametrize(("observed", "settings", "step"), WAYS)
def test_it_goes_on_where_it_stopped(
    observed: RolloutObserved, settings: RolloutSettings, step: RolloutStep
) -> None:
    """By what is stored, whichever process it is now."""
    assert next_rollout_step(observed, settings).step is step


@pytest.mark.parametrize(
    ("finding", "days", "step"),
    [
        ("too_little", 1.9, RolloutStep.WAIT),
        ("incomplete", 0.1, RolloutStep.CONCLUDE),
        ("too_little", 2.0, RolloutStep.CONCLUDE),
        ("incomplete", 2.0, RolloutStep.CONCLUDE),
        ("equal", 0.1, RolloutStep.CONCLUDE),
        ("worse", 0.1, RolloutStep.CONCLUDE),
        ("void", 0.1, RolloutStep.CONCLUDE),
    ],
)
def test_an_experiment_lasts_until_it_decides(finding: str, days: float, step: RolloutStep) -> None:
    """Or until it has lasted as long as it may; without a report nothing is concluded."""
    now = NOON + timedelta(days=days)
    told = ExperimentFinding(finding=finding, says="ctr")
    running = seen(OURS, on_its_way(experiment=trial()), now=now, finding=told)
    assert next_rollout_step(running, TRIED).step is step
    assert next_rollout_step(replace(running, finding=None), TRIED).step is RolloutStep.WAIT


def over(finding: str) -> RolloutUnderWay:
    """Its experiment has ended with this."""
    told = ExperimentFinding(finding=finding, says="ctr -9%")
    return on_its_way(experiment=trial(), finding=told, stopped=True)


ENDS = [
    (seen(FILLING, on_its_way(proven=False), differs="3 images"), RolloutOutcome.REFUSED),
    (seen(FIRST, on_its_way()), RolloutOutcome.LEFT),
    (seen(BACK, on_its_way()), RolloutOutcome.LEFT),
    (seen(READY, on_its_way(experiment=trial())), RolloutOutcome.LEFT),
    (seen(OTHERS, on_its_way(experiment=trial())), RolloutOutcome.LEFT),
    (seen(READY, over("worse")), RolloutOutcome.WORSE),
    (seen(READY, over("void")), RolloutOutcome.WORSE),
    (seen(SWITCHED, on_its_way(switched_at=NOON), now=LATER), RolloutOutcome.SERVES),
    (seen(BACK, on_its_way(switched_at=NOON)), RolloutOutcome.LEFT),
    (seen(BACK, on_its_way(switched_at=NOON, fallen="errors")), RolloutOutcome.ROLLED_BACK),
    (
        seen(AT_ONCE, linear(switched_at=NOON), now=LATER, differs="3 images"),
        RolloutOutcome.REFUSED,
    ),
    (
        seen(AT_ONCE.dropped("g-2", NOON, timedelta(0)), linear(switched_at=NOON)),
        RolloutOutcome.LEFT,
    ),
    (seen(AT_ONCE.rolled_back(NOON, "by hand"), linear(switched_at=NOON)), RolloutOutcome.LEFT),
    (
        seen(SWITCHED.switched(G1, NOON, "by hand"), on_its_way(switched_at=NOON, fallen="e")),
        RolloutOutcome.LEFT,
    ),
    (
        seen(
            SWITCHED.dropped("g-1", NOON + timedelta(days=1), timedelta(0)),
            on_its_way(switched_at=NOON, fallen="errors"),
        ),
        RolloutOutcome.FAILED,
    ),
]


@pytest.mark.parametrize(("observed", "outcome"), ENDS)
def test_it_ends_and_says_why(observed: RolloutObserved, outcome: RolloutOutcome) -> None:
    """A person's decision always wins; what failed is not tried again."""
    following = next_rollout_step(observed, TRIED)
    assert (following.step, following.outcome) == (RolloutStep.END, outcome)
    assert following.says


@dataclass(kw_only=True)
class Machine(Mortal):
    """What outlives a process: bucket and log; and when the present process dies."""

    settings: RolloutSettings = PLAIN
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    store: MemoryObjectStore = field(default_factory=lambda: MemoryObjectStore(BUCKET))
    log: list[str] = field(default_factory=list)
    release: str | None = NEW
    is_linear: bool = False
    served_by: list[Serves] = field(default_factory=list)
    """What was let serve by a roll-out, in turn."""
    difference: str = ""
    report: ExperimentFinding = BETTER
    fell: str = ""
    away: Exception | None = None
    """What asking for an index ends in."""

    def __post_init__(self) -> None:
        """The old model serves."""
        self.served = ServingRecord(self.store, BUCKET, INDEX)
        self.served.begin(FIRST)

    def look(self) -> bool:
        """One look by a process of its own."""
        store: Any = DyingStore(self)
        lease = Lease(store, BUCKET, rollout_lease_key(INDEX), lasts_s=6, clock=self.clock)
        work = Steps(self, ServingRecord(store, BUCKET, INDEX))
        process = RollingOut(
            RolloutRecord(store, BUCKET, INDEX),
            work,
            work,
            lease=lease,
            settings=self.settings,
            clock=self.clock,
        )
        return process.look(threading.Event())

    def fill(self) -> None:
        """What others do meanwhile: every generation is filled and proven."""

        def step(state: ServingState) -> ServingState:
            for one in state.generations:
                state = state.made_ready(one.name, NOON, "equal")
            return state

        self.served.change(step)

    def lives_on(self, seconds: float = 0.0) -> None:
        """Look, and do what others do, until nothing more happens."""
        self.clock.advance(seconds)
        self.fill()
        while self.look():
            self.fill()

    @property
    def serving(self) -> ServingState:
        """What serves now."""
        return self.served.read().state

    @property
    def state(self) -> RolloutState:
        """The record as anybody reads it."""
        return RolloutRecord(self.store, BUCKET, INDEX).read().state

    @property
    def last(self) -> tuple[RolloutOutcome, str]:
        """What became of the last model, and why."""
        (ended,) = self.state.past
        return ended.outcome, ended.says


@dataclass
class Steps:
    """What is seen and done, on a record in memory; see `RolloutSeen` and `RolloutWork`."""

    machine: Machine
    record: ServingRecord

    def serving(self) -> ServingState | None:
        """See `RolloutSeen.serving`."""
        return self.record.read().state

    def newest(self) -> str | None:
        """See `RolloutSeen.newest`."""
        return self.machine.release

    def differs(self, generation: str) -> str:
        """See `RolloutSeen.differs`."""
        return self.machine.difference if generation else ""

    def finding(self, experiment: Experiment) -> ExperimentFinding | None:
        """See `RolloutSeen.finding`; whatever the first came to, one begun anew is `better`."""
        first = experiment.name == experiment_name(NEW_MODEL)
        return self.machine.report if first else BETTER

    def fallen(self, model: RolloutUnderWay, serving: ServingState) -> str:
        """See `RolloutSeen.fallen`."""
        assert serves(serving, model)
        return self.machine.fell

    def index(self, model: str) -> str:
        """See `RolloutWork.index`."""
        if self.machine.away is not None:
            raise self.machine.away
        new = known("g-2", model, GenerationStage.FILLING)

        def step(state: ServingState) -> ServingState:
            names = {one.name for one in state.generations}
            return state if new.name in names else state.with_generation(new, NOON, "asked")

        self.record.change(step)
        return new.name

    def matrix(self, model: str) -> Serves | None:
        """See `RolloutWork.matrix`."""
        by_matrix = Serves(generation="g-1", query_model=model)
        return by_matrix if self.machine.is_linear else None

    def compare(self, model: RolloutUnderWay, to: Serves) -> Experiment:
        """See `RolloutWork.compare`."""
        started = trial(experiment_name(model)).model_copy(update={"treatment": to})

        def step(state: ServingState) -> ServingState:
            running = state.experiment is not None
            return state if running else state.experiment_started(started, NOON, "a trial")

        running = self.record.change(step).experiment
        assert running is not None
        self._say("compared" if model.attempt == 1 else "compared anew")
        return running

    def stop(self, experiment: Experiment, finding: ExperimentFinding) -> None:
        """See `RolloutWork.stop`."""

        def step(state: ServingState) -> ServingState:
            running = state.experiment == experiment
            return state.experiment_stopped(NOON, finding.says) if running else state

        self.record.change(step)
        self._say(f"stopped {finding.finding}")

    def measure(self) -> ServingFigures:
        """See `RolloutWork.measure`."""
        return ServingFigures(searches=9)

    def switch(self, to: Serves) -> None:
        """See `RolloutWork.switch`."""
        self.record.change(lambda state: state.switched(to, NOON, "on"))
        self.machine.served_by.append(to)

    def roll_back(self, model: RolloutUnderWay, reason: str) -> None:
        """See `RolloutWork.roll_back`."""
        assert serves(self.record.read().state, model)
        self.record.change(lambda state: state.rolled_back(NOON, reason))

    def tell(self, noted: RolloutNoted) -> None:
        """See `RolloutWork.tell`."""
        self._say(noted.step)

    def _say(self, what: str) -> None:
        self.machine.effect()
        self.machine.log.append(what)


def whole_life(machine: Machine) -> None:
    """From the release to the end of the watch, whatever happens on the way."""
    for seconds in (0.0, 1.0, 601.0):
        machine.lives_on(seconds)


def test_it_comes_into_service_unasked() -> None:
    """Indexed, proven, switched to, watched; and the same release never again."""
    machine = Machine()
    machine.lives_on()
    assert machine.serving.serves == G2
    assert machine.state.under_way is not None
    assert machine.log == ["begun", "proven"]
    machine.clock.advance(601)
    assert machine.look()
    assert machine.log == ["begun", "proven", "serves"]
    assert not machine.look()
    assert machine.last[0] is RolloutOutcome.SERVES


def test_it_waits_until_the_generation_is_proven() -> None:
    """That is the re-index's business; one that differs serves nobody, and is not tried again."""
    machine = Machine()
    machine.look()
    assert machine.serving.generation("g-2").stage is GenerationStage.FILLING
    assert not machine.look()
    machine.difference = "3 images are missing"
    assert machine.look()
    assert machine.last == (RolloutOutcome.REFUSED, "3 images are missing")
    assert machine.serving.serves == G1
    assert not machine.look()


def test_one_that_must_be_filled_again_is_waited_for() -> None:
    """It was proven once, and is told apart by what it differs in then."""
    machine, other = Machine(), Serves(generation="g-1", query_model=f"other@{'e' * 64}")
    by_hand = trial("by-hand").model_copy(update={"treatment": other})
    machine.served.change(lambda state: state.experiment_started(by_hand, NOON, "a trial"))
    machine.lives_on()
    assert machine.log == ["begun", "proven"]
    machine.served.change(lambda state: state.to_fill_again("g-2", NOON, "the log forgot"))
    assert not machine.look()
    machine.difference = "3 images are missing"
    assert machine.look()
    assert machine.last == (RolloutOutcome.REFUSED, "3 images are missing")


@pytest.mark.parametrize(
    ("finding", "served"), [("better", G2), ("equal", G2), ("worse", G1), ("void", G1)]
)
def test_its_experiment_decides(finding: str, served: Serves) -> None:
    """And is over before anything else serves."""
    machine = Machine(settings=TRIED, report=ExperimentFinding(finding=finding, says="ctr"))
    machine.lives_on()
    assert machine.serving.experiment is None
    assert machine.serving.serves == served
    assert machine.log[:4] == ["begun", "proven", "compared", f"stopped {finding}"]


def test_what_falls_goes_back_by_itself() -> None:
    """Within its watch; later it is a person's business."""
    machine = Machine()
    machine.lives_on()
    machine.fell = "errors: 9 % of 100 searches fail"
    machine.lives_on()
    assert machine.serving.serves == G1
    assert machine.last == (RolloutOutcome.ROLLED_BACK, machine.fell)
    assert machine.log == ["begun", "proven", "rolled_back"]
    assert not machine.look()


def test_an_experiment_whose_beginning_is_forgotten_is_begun_anew() -> None:
    """Else one that outlives an embedded node would decide nothing for as long as it may take."""
    machine = Machine(settings=TRIED, report=LOST)
    machine.lives_on()
    assert machine.log == [
        *("begun", "proven", "compared", "stopped incomplete"),
        *("compared anew", "stopped better"),
    ]
    assert [one.experiment.name for one in machine.serving.ended] == [
        experiment_name(NEW_MODEL.model_copy(update={"attempt": attempt})) for attempt in (2, 1)
    ]
    assert machine.serving.serves == G2


STORIES: list[tuple[RolloutSettings, str, str]] = [
    (PLAIN, "better", ""),
    (TRIED, "better", ""),
    (TRIED, "worse", ""),
    (TRIED, "better", "errors"),
    (TRIED, LOST.finding, ""),
]


def machine_of(settings: RolloutSettings, finding: str, fell: str, *, is_linear: bool) -> Machine:
    """At the beginning of a story."""
    told = ExperimentFinding(finding=finding, says="ctr")
    return Machine(settings=settings, report=told, fell=fell, is_linear=is_linear)


@cache
def undisturbed_life(
    settings: RolloutSettings, finding: str, fell: str, *, is_linear: bool
) -> Machine:
    """At the end of the story, the same for whoever compares himself; nobody may change it."""
    machine = machine_of(settings, finding, fell, is_linear=is_linear)
    whole_life(machine)
    return machine


@pytest.mark.parametrize("is_linear", [False, True])
@pytest.mark.parametrize("lives", range(24))
@pytest.mark.parametrize(("settings", "finding", "fell"), STORIES)
def test_killed_anywhere_it_ends_the_same(
    settings: RolloutSettings, finding: str, fell: str, lives: int, *, is_linear: bool
) -> None:
    """The next process waits for the dead one's lease, then goes on: each step once to others."""
    undisturbed = undisturbed_life(settings, finding, fell, is_linear=is_linear)
    machine = machine_of(settings, finding, fell, is_linear=is_linear)
    machine.lives = lives
    try:
        whole_life(machine)
    except Killed:
        machine.lives = None
        machine.clock.advance(7)
        whole_life(machine)
    assert machine.state.under_way is None
    assert machine.last == undisturbed.last
    assert machine.serving.serves == undisturbed.serving.serves
    assert machine.serving.before == undisturbed.serving.before
    told_once, told = list(dict.fromkeys(machine.log)), undisturbed.log
    if is_linear:  # who comes back late finds its own vectors ready, and needs no matrix before
        told_once, told = ([what for what in log if what != "proven"] for log in (told_once, told))
    else:
        assert machine.serving.number == undisturbed.serving.number
    assert told_once == told


def test_a_linear_model_serves_before_its_vectors_are_there() -> None:
    """By a matrix in the first look; then on its own, with one way back past both."""
    machine = Machine(is_linear=True)
    assert machine.look()
    assert machine.serving.serves == BY_MATRIX
    assert machine.serving.generation("g-2").stage is GenerationStage.FILLING
    assert not machine.look()
    machine.lives_on()
    assert machine.served_by == [BY_MATRIX, G2]
    assert machine.serving.before == (G1,)
    machine.lives_on(601)
    assert machine.last[0] is RolloutOutcome.SERVES
    assert machine.log == ["begun", "proven", "serves"]


def test_a_linear_models_experiment_waits_for_no_vectors() -> None:
    """Its treatment ranks the vectors that serve; what is proven meanwhile changes no arm."""
    machine = Machine(settings=TRIED, report=ExperimentFinding(finding="too_little", says="ctr"))
    machine.is_linear = True
    assert machine.look()
    machine.lives_on()
    experiment = machine.serving.experiment
    assert experiment is not None
    assert experiment.treatment == BY_MATRIX
    assert machine.log == ["begun", "compared", "proven"]
    machine.report = BETTER
    machine.lives_on()
    assert machine.served_by == [G2], "its own vectors are there by now"


def test_what_is_away_is_waited_for() -> None:
    """A store or a broker that does not answer ends nothing."""
    machine = Machine(away=PartUnavailable(Part.STORE, "away"))
    for _ in range(3):
        with pytest.raises(PartUnavailable):
            machine.look()
    machine.away = None
    machine.lives_on()
    assert machine.serving.serves == G2


def test_what_can_never_be_indexed_ends_and_says_why() -> None:
    """Else it would be tried for ever, and nobody would be told."""
    machine = Machine(away=NotFound("the model's files are gone"))
    assert machine.look()
    assert machine.last == (RolloutOutcome.FAILED, "the model's files are gone")
    assert machine.log == ["begun", "failed"]
    assert not machine.look()


def test_a_conflict_ends_nothing() -> None:
    """Somebody was faster: the next look sees what they did."""
    machine = Machine(away=Conflict("being dropped"))
    with pytest.raises(Conflict):
        machine.look()
    assert machine.state.under_way is not None


def test_the_next_release_comes_after_it() -> None:
    """One at a time; the record remembers each."""
    machine = Machine()
    machine.lives_on()
    machine.release = f"clicks@{'c' * 64}"
    assert not machine.look()
    machine.clock.advance(601)
    machine.look()
    assert [ended.model for ended in machine.state.past] == [NEW]
    assert machine.state.under_way is not None
    assert machine.state.under_way.model == machine.release


def test_one_at_a_time() -> None:
    """Whoever finds the lease held looks away."""
    machine = Machine()
    other = Lease(machine.store, BUCKET, rollout_lease_key(INDEX), lasts_s=6, clock=machine.clock)
    assert other.take()
    assert not machine.look()
    other.give_back()
    assert machine.look()


def test_a_record_of_another_release_is_no_reason_to_begin_anew() -> None:
    """It says what to do."""
    store = MemoryObjectStore(BUCKET)
    store.put_if(BUCKET, f"serving/{INDEX}/rollout.json", b'{"format": 2}', expected_etag=None)
    with pytest.raises(Unreadable, match="rolled out anew"):
        RolloutRecord(store, BUCKET, INDEX).read()


def test_the_record_keeps_what_it_says() -> None:
    """All of it, through the store."""
    record = RolloutRecord(MemoryObjectStore(BUCKET), BUCKET, INDEX)
    last = RolloutEnded(model=OLD, outcome=RolloutOutcome.LEFT, says="so", ended_at=NOON)
    way = on_its_way(experiment=trial(), finding=BETTER, before=ServingFigures(searches=3))
    state = RolloutState(under_way=way, past=(last,))
    record.replace(record.read(), state)
    assert record.read().state == state


BEFORE = ServingFigures(
    searches=10_000, failed=10, images=100, delay_s=200, shown=50_000, clicked=2_000
)
FELL: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    ({"searches": 99, "failed": 99}, ""),
    ({"searches": 100, "failed": 1}, ""),
    ({"searches": 100, "failed": 2}, "errors"),
    ({"images": 19, "delay_s": 1_900}, ""),
    ({"images": 20, "delay_s": 47.9}, ""),
    ({"images": 20, "delay_s": 48.1}, "freshness"),
    ({"shown": 50_000, "clicked": 1_600}, ""),
    ({"shown": 50_000, "clicked": 1_590}, "CTR"),
    ({"shown": 2_000, "clicked": 60}, ""),
    ({"shown": 5_000, "clicked": 0}, "CTR"),
    ({"shown": 50_000, "clicked": 9_000}, ""),
]


@pytest.mark.parametrize(("after", "what"), FELL)
def test_only_what_is_surely_worse_falls(after: dict[str, Any], what: str) -> None:
    """Beyond the margin, and by more than few searches, images or clicks differ by chance."""
    said = fallen(BEFORE, ServingFigures(**after), 0.2)
    assert said.partition(":")[0] == what
    assert fallen(ServingFigures(), ServingFigures(shown=50_000, images=99, delay_s=1e4), 0.2) == ""
