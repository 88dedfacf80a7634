"""Roll-outs beside a node: what they look at and tell, and what a person reads of them."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.embedding.query_matrix import NotLinear
from sightline.engine.errors import PartUnavailable
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.label_data.search_stats import SearchStats
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, Serves
from sightline.engine.serving.watch import RecordWatch
from sightline.engine.settings import (
    ApiSettings,
    KafkaSettings,
    RolloutSettings,
    Settings,
    StoreSettings,
)
from sightline.infra.processes import node_rollout
from sightline.infra.processes.node import beside_api
from sightline.infra.processes.node_rollout import NodeRollout
from sightline.infra.processes.rolling_out import RolloutLoop, rollout_loops
from sightline.infra.reporting.rollout_lines import rollout_told
from sightline.schemas.models import (
    ExperimentStarted,
    ExperimentStopped,
    GenerationNoted,
    ModelPromoted,
    ModelRolledBack,
    RolloutNoted,
)
from sightline.schemas.registry import decode
from sightline.schemas.topics import MODELS, SEARCHES_CLOSED
from sightline.stream_workers.rolling_out.figures import ServingFigures
from sightline.stream_workers.rolling_out.process_figures import counted, since
from sightline.stream_workers.rolling_out.state import (
    ExperimentFinding,
    RolloutOutcome,
    RolloutState,
    RolloutUnderWay,
)
from sightline.training.models import registry
from sightline.training.models.registry import NewModel
from tests.label_rows import NOON
from tests.unit.test_rolling_out import (
    BACK,
    BY_MATRIX,
    G2,
    NEW,
    OLD,
    READY,
    SWITCHED,
    known,
    on_its_way,
)

BUCKET = "sightline"
ROLLOUT = RolloutSettings(automatic=True, experiment_share=0.5, watch_s=600)


@dataclass
class Place:
    """The parts of a node that roll-outs use, in memory."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    store: MemoryObjectStore = field(default_factory=lambda: MemoryObjectStore(BUCKET))
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker([MODELS, SEARCHES_CLOSED], 1))
    metrics: Metrics = field(default_factory=Metrics)
    stats: SearchStats = field(default_factory=SearchStats)
    settings: Settings = field(default_factory=lambda: Settings(rollout=ROLLOUT))

    def __post_init__(self) -> None:
        """Nothing serves yet."""
        self.record = ServingRecord.of(self.settings, self.store)
        self.watched = RecordWatch(self.record, every_s=60.0, clock=self.clock)

    @property
    def node(self) -> Any:
        """The parts, as a node names them."""
        return SimpleNamespace(
            settings=self.settings,
            store=self.store,
            publishing=None,
            watch=SimpleNamespace(clock=self.clock, metrics=self.metrics),
            events=SimpleNamespace(
                log=MemoryEventLog(self.broker), producer=MemoryEventProducer(self.broker)
            ),
            serving=SimpleNamespace(
                record=self.record, watched=self.watched, models=None, matrices=None, pairs=self
            ),
        )

    def now(self) -> Any:
        """What answers in this process; see `ServingPairs.now`."""
        return SimpleNamespace(model_digest=self.record.read().state.serving.model_digest)

    def work(self) -> NodeRollout:
        """What a process does."""
        return NodeRollout(self.node, self.stats)

    def events(self) -> list[Any]:
        """What the log was told."""
        return [decode(message.value or b"") for message in self.broker.records(MODELS.name)]


@pytest.fixture
def place() -> Place:
    """A node's parts."""
    return Place()


def test_a_node_rolls_out_only_where_it_is_wanted(place: Place) -> None:
    """Nobody's answers change unasked."""
    assert list(rollout_loops(place.node, place.stats)) == ["roll-out"]
    place.settings = Settings()
    assert rollout_loops(place.node, place.stats) == {}


def test_each_process_with_an_api_rolls_out(place: Place) -> None:
    """Also where worker and API are processes of their own: the lease lets one do it."""
    place.settings = Settings(
        rollout=ROLLOUT,
        api=ApiSettings(publish_unpublished_every_s=0),
        store=StoreSettings(sweep_every_s=0),
    )
    followers: Any = SimpleNamespace(loops=dict, search_stats=SimpleNamespace(stats=place.stats))
    assert set(beside_api(place.node, followers)) == {"query-retention", "roll-out"}


def test_a_log_that_never_answers_is_a_part_that_is_away(place: Place) -> None:
    """Not a time-out of some library: the loop, and with it the node, would end by it."""
    place.settings = Settings(rollout=ROLLOUT, kafka=KafkaSettings(delivery_timeout_s=0.01))
    node = place.node
    node.events.producer.answer = Future()
    noted = RolloutNoted(name="clicks", digest="a" * 64, step="begun", says="new", noted_at=NOON)
    with pytest.raises(PartUnavailable, match="not acknowledged"):
        NodeRollout(node, place.stats).tell(noted)


def test_the_newest_release_is_read_alone(place: Place) -> None:
    """Of the name that is retrained; however many there are."""
    assert place.work().newest() is None
    digests = []
    for number in range(11):
        files = {"projection.safetensors": b"%d" % number}
        model = NewModel(
            name="clicks",
            network="efficientnet_lite0",
            network_weights="1" * 64,
            preprocess="p",
            dimensions=8,
            files=files | dict.fromkeys(registry.REQUIRED, b"{}"),
        )
        digests.append(registry.store_model(place.store, BUCKET, model))
        why = registry.Reasons(against=None, gate=())
        registry.release(place.store, BUCKET, "clicks", digests[-1], why, now=NOON)
    assert place.work().newest() == f"clicks@{digests[-1]}"


def test_an_experiment_is_started_and_stopped_once(place: Place) -> None:
    """However often it is asked for: one draw, and the same events."""
    place.record.begin(READY)
    model, finding = on_its_way(), ExperimentFinding(finding="better", says="ctr +6.1%")
    first, again = (place.work().compare(model, G2) for _ in range(2))
    assert first == again == place.record.read().state.experiment
    assert (first.treatment, first.share) == (Serves(generation="g-2"), 0.5)
    for _ in range(2):
        place.work().stop(first, finding)
    state = place.record.read().state
    assert state.experiment is None
    assert [one.says for one in state.ended] == ["better: ctr +6.1%"]
    events = [event for event in place.events() if event.id.startswith("experiment-")]
    assert [type(event.data) for event in events] == [
        ExperimentStarted,
        ExperimentStopped,
    ]
    assert [event.id for event in events] == [
        f"experiment-started-{first.salt}",
        f"experiment-stopped-{first.salt}",
    ]
    assert events[1].data.finding == "better"


def test_nobody_elses_experiment_is_stopped(place: Place) -> None:
    """One of another draw runs on."""
    place.record.begin(READY)
    ours = place.work().compare(on_its_way(), G2)
    other = ours.model_copy(update={"salt": "another"})
    place.work().stop(other, ExperimentFinding(finding="worse", says="ctr -6.1%"))
    assert place.record.read().state.experiment == ours


def test_a_report_is_read_now_and_then(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the whole log since the start: not with each look."""
    place.record.begin(READY)
    work, reads = place.work(), []

    def report(*_: object, **__: object) -> Any:
        reads.append(place.clock.monotonic())
        decided = SimpleNamespace(finding=SimpleNamespace(value="too_little"), says="x" * 600)
        return SimpleNamespace(decided=decided)

    monkeypatch.setattr(node_rollout, "read_report", report)
    experiment = work.compare(on_its_way(), G2)
    for _ in range(3):
        found = work.finding(experiment)
        assert found is not None
        assert (found.finding, len(found.says)) == ("too_little", 512)
    place.clock.advance(ROLLOUT.report_every_s)
    work.finding(experiment)
    assert len(reads) == 2
    other = place.work()
    assert other.finding(experiment) is None, "one of many processes reads it"
    assert len(reads) == 2
    place.clock.advance(ROLLOUT.report_every_s + 31)
    assert other.finding(experiment) is not None, "and another one where that has died"
    assert len(reads) == 3


def test_switch_and_rollback_are_told(place: Place) -> None:
    """By the same events as a person's; nobody else's switch is undone."""
    place.record.begin(READY)
    work = place.work()
    work.switch(G2)
    work.roll_back(on_its_way(), "errors: 9 %")
    work.roll_back(on_its_way(), "errors: 9 %")
    state = place.record.read().state
    assert (state.serves, state.reason) == (Serves(generation="g-1"), "errors: 9 %")
    assert [type(event.data) for event in place.events()] == [
        *(GenerationNoted, GenerationNoted),  # how the generation came to be, which nobody had told
        *(ModelPromoted, ModelRolledBack),
    ]


def test_a_generation_that_may_serve_is_taken_as_it_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has filled it by hand already."""
    place.record.begin(READY)
    work = place.work()
    made = SimpleNamespace(spec=SimpleNamespace(name="g-2"))
    monkeypatch.setattr(work._commands, "made", lambda _: made)
    assert work.index("clicks") == "g-2"


def test_how_it_can_serve_at_once_is_found_and_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix on what serves now; another network's model has none, and waits for its own."""
    place.record.begin(READY)
    asked = []

    def matrix_of(*of: Any) -> object:
        asked.append((of[2].name, of[3]))
        return NotLinear("another network") if len(asked) > 1 else object()

    monkeypatch.setattr(node_rollout, "matrix_of", matrix_of)
    work = place.work()
    assert work.matrix(NEW) == BY_MATRIX
    assert work.matrix(NEW) is None
    assert asked == [("g-1", NEW)] * 2


def search(metrics: Metrics, status: int, count: int) -> None:
    """Some searches were answered so."""
    metrics.requests.labels("POST", "/v1/search", status).inc(count)


def test_errors_and_freshness_are_counted_since_the_switch(place: Place) -> None:
    """Of searches and of the live lane alone; what was counted before is no fault of the model."""
    place.record.begin(SWITCHED)
    search(place.metrics, 200, 900)
    search(place.metrics, 503, 100)
    place.metrics.requests.labels("GET", "/healthz", 500).inc(50)
    place.metrics.freshness.labels("live").observe(2.0)
    place.metrics.freshness.labels("backfill").observe(900.0)
    before = counted(place.metrics)
    assert before == ServingFigures(searches=1_000, failed=100, images=1, delay_s=2.0)
    model = on_its_way(before=ServingFigures(searches=1_000, failed=1), switched_at=NOON)
    work, state = place.work(), place.record.read().state
    assert work.fallen(model, state) == ""
    search(place.metrics, 200, 150)
    assert since(before, counted(place.metrics)).searches == 150
    assert work.fallen(model, state) == ""
    search(place.metrics, 500, 10)
    assert work.fallen(model, state).startswith("errors: 6.25% of 160 searches")


class Counted:
    """Sums of closed searches, by whom and when they are asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any]] = []

    def fold(self, _: Any, *, since: Any, until: Any) -> list[Any]:
        """See `SearchStats.fold`."""
        self.asked.append((since, until))
        sums = {"images_shown": 50, "images_clicked": 3}
        digests = ("sha256:g-1", "sha256:g-1", "sha256:g-2")
        return [SimpleNamespace(model_digest=digest, sums=sums) for digest in digests]


def test_clicks_are_those_of_the_model_that_serves(place: Place) -> None:
    """In each of its variants; before the switch over a day at least."""
    place.record.begin(READY)
    stats: Any = Counted()
    work = NodeRollout(place.node, stats)
    before = work.measure()
    assert (before.shown, before.clicked) == (100, 6)
    assert stats.asked == [(NOON - timedelta(days=1), NOON)]
    place.clock.advance(60)
    work.fallen(on_its_way(switched_at=NOON), SWITCHED)
    assert stats.asked[1] == (NOON, NOON + timedelta(seconds=60))


def test_the_loop_shows_how_far_it_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stage at a time, and each end once; the log knows each step."""
    place.record.begin(BACK)
    monkeypatch.setattr(NodeRollout, "newest", lambda _: BACK.generations[1].model)
    loop = RolloutLoop(place.node, place.stats)
    loop.look(threading.Event())
    loop.look(threading.Event())
    value = place.metrics.registry.get_sample_value
    assert value("sightline_rollouts_total", {"outcome": "left"}) == 1
    assert value("sightline_rollout_stage", {"stage": "watched"}) == 0
    (noted,) = (event.data for event in place.events())
    assert isinstance(noted, RolloutNoted)
    assert (noted.name, noted.step) == ("clicks", "left")


@pytest.mark.parametrize(
    ("changes", "stage"),
    [
        ({"proven": False}, "indexed"),
        ({"experiment": "ours"}, "compared"),
        ({"experiment": "ours", "stopped": True}, "coming"),
        ({}, "coming"),
        ({"switched_at": NOON}, "watched"),
        ({"at_once": BY_MATRIX, "proven": False}, "coming"),
        ({"at_once": BY_MATRIX, "proven": False, "experiment": "ours"}, "compared"),
        ({"at_once": BY_MATRIX, "proven": False, "switched_at": NOON}, "watched"),
        ({"switched_at": NOON, "fallen": "errors"}, "going"),
    ],
)
def test_a_person_reads_how_far_it_is(place: Place, changes: dict[str, Any], stage: str) -> None:
    """And what became of the one before it."""
    place.record.begin(READY)
    if changes.get("experiment"):
        changes = changes | {"experiment": place.work().compare(on_its_way(), G2)}
    way: RolloutUnderWay = on_its_way(**changes)
    past = RolloutState().ended(OLD, RolloutOutcome.WORSE, "ctr -9%", NOON).past
    state = RolloutState(under_way=way, past=past)
    assert list(rollout_told(state, NOON + timedelta(seconds=9))) == [
        f"clicks@{'a' * 12}: {stage}, begun 9 s ago, generation g-2",
        f"clicks@{'b' * 12}: worse, 9 s ago: ctr -9%",
    ]
    assert list(rollout_told(RolloutState(), NOON)) == ["no model came into service by itself yet"]


def test_what_never_served_waits(place: Place) -> None:
    """A deployment without a record has nothing to compare with."""
    assert place.work().serving() is None
    RolloutLoop(place.node, place.stats).look(threading.Event())
    assert place.events() == []
    generation = known("g-1", OLD, GenerationStage.READY)
    place.record.begin(ServingState.first(generation, NOON))
    assert place.work().serving() is not None
