"""Retraction by itself: due by what the store says, shared by all sinks, patient with failures."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.label_data.triple_manifest import PREFIX
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.settings import Settings, StoreSettings
from sightline.infra.reporting.status_table import retraction_of
from sightline.infra.wiring.label_data import LabelData
from sightline.schemas.topics import TRAINING_TRIPLES
from sightline.stream_workers.labels.sink.last_retraction import (
    KEY,
    LastRetraction,
    RetractionReport,
    read_last,
    tell_last,
)
from sightline.stream_workers.labels.sink.retraction_rounds import RetractionRounds
from tests.label_rows import at
from tests.running_loops import running
from tests.waiting import eventually

BUCKET = "sightline"
HOUR_S = 3_600.0


class World:
    """A store that remembers the last round, and processes that look at it."""

    def __init__(self, root: Path) -> None:
        self.store = DirectoryObjectStore(root)
        self.store.ensure_bucket(BUCKET)
        self.clock = ManualClock(at(0))
        self.metrics = Metrics()
        self.ran = 0
        self.fails = 0

    def retract(self) -> RetractionReport:
        """One round; the first `fails` find the broker down."""
        if self.fails:
            self.fails -= 1
            raise PartUnavailable(Part.BROKER, "down")
        self.ran += 1
        report = RetractionReport(triples_read=7, retracted=Counter(user_erased=3), rows_removed=4)
        tell_last(self.store, BUCKET, LastRetraction.of(report, self.clock.now()))
        return report

    def rounds(self, *, every_s: float = HOUR_S) -> RetractionRounds:
        """One process's."""
        return RetractionRounds(
            self.retract,
            lambda: read_last(self.store, BUCKET),
            every_s=every_s,
            clock=self.clock,
            metrics=self.metrics,
        )

    def value(self, name: str, **labels: str) -> float | None:
        """A metric as it stands."""
        return self.metrics.registry.get_sample_value(f"sightline_{name}", labels)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A fresh one."""
    return World(tmp_path)


def test_the_first_look_runs_it_and_the_next_waits_for_the_hour(world: World) -> None:
    """Due is told by the store's mark, so that a restart neither repeats nor forgets a round."""
    world.rounds().look()
    world.clock.advance(HOUR_S - 1)
    world.rounds().look()
    assert world.ran == 1
    world.clock.advance(1)
    world.rounds().look()
    assert world.ran == 2


def test_several_sinks_share_the_rounds(world: World) -> None:
    """What one has done, or the command, is not due for another."""
    one, other = world.rounds(), world.rounds()
    for _ in range(5):
        one.look()
        other.look()
        world.clock.advance(HOUR_S)
    assert world.ran == 5


def test_a_mark_of_the_future_does_not_put_it_off(world: World) -> None:
    """A clock that was wrong for a while stops no erasure."""
    tell_last(world.store, BUCKET, LastRetraction(finished_at=at(60 * 24 * 365)))
    world.rounds().look()
    assert world.ran == 1


def test_a_failed_round_is_counted_and_tried_again(world: World) -> None:
    """The sink goes on meanwhile."""
    world.fails = 1
    rounds = world.rounds()
    rounds.look()
    assert (world.ran, world.value("retractions_total", result="failed")) == (0, 1)
    rounds.look()
    assert (world.ran, world.value("retractions_total", result="done")) == (1, 1)


def test_an_unreadable_mark_counts_as_none(world: World) -> None:
    """Then a round is due, which writes a new one."""
    world.store.put(BUCKET, KEY, b"{", content_type="application/json")
    world.rounds().look()
    assert world.ran == 1
    assert read_last(world.store, BUCKET) == LastRetraction(
        finished_at=at(0), triples_read=7, triples_retracted=3, rows_removed=4
    )


def test_its_last_run_is_in_the_metrics_of_every_sink(world: World) -> None:
    """Also where another process ran it; what was taken back is counted where it was."""
    world.retract()
    world.clock.advance(60)
    world.rounds().look()
    assert world.value("retraction_last_timestamp_seconds") == at(0).timestamp()
    world.clock.advance(HOUR_S)
    world.rounds().look()
    assert world.value("retraction_last_timestamp_seconds") == world.clock.now().timestamp()
    assert world.value("retracted_triples_total", cause="user_erased") == 3


def test_the_loop_runs_until_it_is_stopped(world: World) -> None:
    """With a short interval, again and again."""

    def counted() -> bool:
        world.clock.advance(1)
        return world.ran >= 3

    with running(world.rounds(every_s=0.01).run):
        eventually(counted)


def test_the_status_tells_it(world: World, tmp_path: Path) -> None:
    """`sightline status`: when, and what it came to; or that it never ran."""
    settings = Settings(store=StoreSettings(directory=tmp_path, bucket=BUCKET))
    assert retraction_of(settings, world.clock.now()) == "never yet"
    world.retract()
    told = retraction_of(settings, world.clock.now() + timedelta(minutes=2))
    assert told == "120 s ago; 3 triples taken back, 4 rows removed"


def test_the_log_is_read_only_where_the_sink_has_written(tmp_path: Path) -> None:
    """A file without an entry counts: the sink may have been killed between the two."""
    store, log = DirectoryObjectStore(tmp_path), MemoryBroker()
    store.ensure_bucket(BUCKET)
    log.down = True
    data = LabelData(
        Settings(store=StoreSettings(bucket=BUCKET)),
        log=MemoryEventLog(log),
        store=store,
        producer=MemoryEventProducer(log),
        clock=ManualClock(at(0)),
        metrics=Metrics(),
    )
    assert not data.retract().changed
    assert data.last_retraction() == LastRetraction(finished_at=at(0))
    store.put(BUCKET, f"{PREFIX}{TRAINING_TRIPLES.name}/log/triples/00000/0-a.parquet", b"")
    with pytest.raises(PartUnavailable):
        data.retract()
