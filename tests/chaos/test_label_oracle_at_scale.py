"""Many events on a real broker, four ways, each against the same slow batch oracle.

Over 200,000 undisturbed and in a replay. Over 60,000 with kills and with rebalances: what those
test is at the ends of lives and epochs, of which there are as many a life as in a longer log.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from sightline.engine.settings import KafkaSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.schemas.labels import Stage
from sightline.schemas.topics import INTERACTIONS_IMPORTED
from tests.label_kafka import LabelPipeline
from tests.label_shell import Distinct, StreamedTopics, assert_equal
from tests.label_world import SMALL_RULES, World
from tests.oracle_labels import Expected, Recorded, expected
from tests.patience import patient
from tests.waiting import eventually

PARTITIONS = 3
STEPS, LEAST_EVENTS = 68_000, 200_000
DISTURBED_STEPS, LEAST_DISTURBED_EVENTS = 22_000, 60_000
KILLS = 10
SENDS_OF_A_LIFE = {Stage.JOIN: 400, Stage.MINE: 230}
"""About a thirtieth of all that the stage sends while it is disturbed."""
EPOCHS_OF_A_LIFE = 8
DEADLINE_S = 200
RULES = replace(
    SMALL_RULES,
    epoch_ms=10_000,
    bot_acts=25,
    bot_coverage_shown=14,
    hot_anchor_triples=6,
    popular_negative_triples=4,
)
SOON = {"group.min.session.timeout.ms": "1000"}
"""So that a killed worker is not waited for longer than needed."""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", autouse=True)
def no_garbage() -> Iterator[None]:
    """What these tests make stays: to look for garbage in it was a fifth of this process's time.

    It goes with them, else the tests that come later would look through it.
    """
    gc.disable()
    yield
    for kept in (_log, _wanted):
        kept.cache_clear()
    _judged.clear()
    gc.enable()


@cache
def _log(steps: int) -> list[Recorded]:
    """Duplicates, reordering, late and early clicks, erasures, nonsense: see `World`."""
    world = World(
        Random(20_260_301),
        sources=PARTITIONS,
        actors=60,
        anchors=40,
        images=60,
        rules=RULES,
        page=12,
        items=8,
        pace=0.2,
        weights=(40, 80, 2, 8, 1, 10, 3),
    )
    return world.run(steps)


@cache
def _wanted(steps: int) -> Expected:
    return expected(
        _log(steps), RULES, sources=PARTITIONS, targets=PARTITIONS, topic=INTERACTIONS_IMPORTED.name
    )


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of this module's own."""
    with LocalKafka(tmp_path_factory.mktemp("kafka"), overrides=SOON) as server:
        yield server.bootstrap_servers


@pytest.fixture
def pipeline(broker: str, tmp_path: Path) -> Iterator[LabelPipeline]:
    """Fresh topics that hold nothing yet; workers that are gone afterwards."""
    kafka = KafkaSettings(
        bootstrap_servers=broker,
        topic_prefix=f"t{uuid4().hex[:12]}.",
        partitions=PARTITIONS,
        session_timeout_s=4.0,
    )
    labels = LabelPipeline(kafka, RULES, tmp_path, supervised=True)
    labels.create()
    yield labels
    labels.stop()


def _finish(pipeline: LabelPipeline, steps: int) -> StreamedTopics:
    """Wait for the last epoch, and compare everything with the oracle."""
    last = pipeline.last_closed(_log(steps), PARTITIONS)
    pipeline.wait_until_done(Stage.MINE, PARTITIONS, last, DEADLINE_S)
    streamed = pipeline.streamed(PARTITIONS)
    _judge(streamed.distinct(), streamed, steps)
    return streamed


_judged: set[Distinct] = set()


def _judge(written: Distinct, streamed: StreamedTopics, steps: int) -> None:
    """Against the oracle; the same bytes as before need not be read and compared anew."""
    if written not in _judged:
        assert_equal(streamed, _wanted(steps))
        _judged.add(written)


def _done(pipeline: LabelPipeline, stage: Stage) -> int:
    return sum(len(ranges) for ranges in pipeline.done(stage).values())


def _wait_for_done(pipeline: LabelPipeline, stage: Stage, count: int) -> None:
    eventually(
        lambda: _done(pipeline, stage) >= count,
        timeout_s=DEADLINE_S,
        interval_s=0.3,
        reason=f"{stage} has done {count} epochs of its partitions",
    )


def _kill_often(pipeline: LabelPipeline, stage: Stage) -> None:
    """Every other time right before a send with an epoch half sent, else wherever it is.

    The one that is started last stays.
    """
    last = pipeline.last_closed(_log(DISTURBED_STEPS), PARTITIONS)
    for number in range(KILLS):
        if number % 2:
            sends = SENDS_OF_A_LIFE[stage]
            assert pipeline.dies(stage, before=sends, timeout_s=DEADLINE_S) == -signal.SIGKILL
        else:
            before = _done(pipeline, stage)
            pipeline.start(stage)
            _wait_for_done(pipeline, stage, before + EPOCHS_OF_A_LIFE)
        pipeline.kill(stage)
        reached = min(max(d.epoch for d in done) for done in pipeline.done(stage).values())
        assert reached < last, "it was killed after its work, not in the middle of it"
    pipeline.start(stage)


def test_one_worker_each_and_a_replay_from_the_start(pipeline: LabelPipeline) -> None:
    """Undisturbed, then from offset 0 with nothing else left: the oracle's, the same bytes."""
    pipeline.write(_log(STEPS))
    # A set's message would take minutes to write.
    assert (set(pipeline.recorded()) == set(_log(STEPS))) is True
    assert _wanted(STEPS).events >= LEAST_EVENTS
    workers = [pipeline.start(Stage.JOIN), pipeline.start(Stage.MINE)]
    first = _finish(pipeline, STEPS)
    for worker in workers:
        worker.terminate()
        worker.wait(patient(60))
    pipeline.forget()
    assert not pipeline.streamed(PARTITIONS).triples
    pipeline.start(Stage.JOIN)
    pipeline.start(Stage.MINE)
    replayed = _finish(pipeline, STEPS)
    assert set(replayed.triples) == set(first.triples)
    assert set(replayed.omitted) == set(first.omitted)


def test_ten_kills_of_each_stage_change_nothing(pipeline: LabelPipeline) -> None:
    """Join and miner are killed -9 ten times each in their work; things were sent twice."""
    assert _wanted(DISTURBED_STEPS).events >= LEAST_DISTURBED_EVENTS
    pipeline.write(_log(DISTURBED_STEPS))
    with ThreadPoolExecutor(2) as pool:
        for killed in [pool.submit(_kill_often, pipeline, stage) for stage in Stage]:
            killed.result()
    streamed = _finish(pipeline, DISTURBED_STEPS)
    assert len(streamed.triples) > len(set(streamed.triples)), "no triple was sent twice"
    assert len(streamed.omitted) > len(set(streamed.omitted)), "no side row was sent twice"
    closed = [value for values in streamed.closed for value in values]
    assert len(closed) > len(set(closed)), "no closed search was sent twice"


def test_two_workers_and_rebalances_change_nothing(pipeline: LabelPipeline) -> None:
    """Two workers a stage, while records come; one is killed, one leaves, both come back."""
    log = _log(DISTURBED_STEPS)
    half = len(log) // 2
    pipeline.write(log[:half])
    joins = [pipeline.start(Stage.JOIN), pipeline.start(Stage.JOIN)]
    mines = [pipeline.start(Stage.MINE), pipeline.start(Stage.MINE)]
    for workers, stage in ((joins, Stage.JOIN), (mines, Stage.MINE)):
        _wait_for_done(pipeline, stage, EPOCHS_OF_A_LIFE)
        workers[0].kill()
    pipeline.write(log[half:])
    for workers, stage in ((joins, Stage.JOIN), (mines, Stage.MINE)):
        pipeline.start(stage)
        _wait_for_done(pipeline, stage, _done(pipeline, stage) + 1)
        workers[1].terminate()
        pipeline.start(stage)
    _finish(pipeline, DISTURBED_STEPS)
