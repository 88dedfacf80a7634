from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from sightline.engine.settings import KafkaSettings
from sightline.schemas.labels import Stage
from sightline.schemas.topics import INTERACTIONS_IMPORTED
from tests.label_kafka import LabelPipeline
from tests.label_shell import assert_equal
from tests.label_world import SMALL_RULES, World
from tests.oracle_labels import expected
from tests.patience import patient

PARTITIONS = 3
STALLED_S = 4.0
"""How long a worker bears lag that does not shrink before it gives up, by its own clock."""
RULES = replace(SMALL_RULES, epoch_ms=10_000, bot_acts=40, bot_coverage_shown=40)
"""Epochs long enough that a kill finds one half sent."""


@pytest.fixture
def pipeline(kafka_settings: KafkaSettings, tmp_path: Path) -> Iterator[LabelPipeline]:
    """Topics, and workers that are gone afterwards."""
    labels = LabelPipeline(kafka_settings, RULES, tmp_path)
    labels.create()
    yield labels
    labels.stop()


def _world(seed: int) -> World:
    return World(Random(seed), sources=PARTITIONS, actors=9, anchors=5, rules=RULES)


def assert_oracle(pipeline: LabelPipeline) -> None:
    """Wait until everything is mined; it is what the rules say, exactly."""
    log = pipeline.recorded()
    wanted = expected(
        log,
        RULES,
        sources=PARTITIONS,
        targets=PARTITIONS,
        topic=INTERACTIONS_IMPORTED.name,
    )
    last = pipeline.last_closed(log, PARTITIONS)
    pipeline.wait_until_done(Stage.MINE, PARTITIONS, last, 120)
    assert wanted.triples
    assert_equal(pipeline.streamed(PARTITIONS), wanted)


def test_faust_on_kafka_equals_the_oracle(pipeline: LabelPipeline) -> None:
    """One worker of each stage, undisturbed."""
    pipeline.write(_world(11).run(2_000))
    pipeline.start(Stage.JOIN)
    pipeline.start(Stage.MINE)
    assert_oracle(pipeline)


def test_killed_right_before_a_send_it_still_equals_the_oracle(pipeline: LabelPipeline) -> None:
    """Both stages are killed with half of an epoch sent; something was sent twice."""
    pipeline.write(_world(12).run(2_000))
    for dies_before in (40, 150):
        assert pipeline.start(Stage.JOIN, dies_before=dies_before).wait(patient(60)) == -9
    pipeline.start(Stage.JOIN)
    assert pipeline.start(Stage.MINE, dies_before=30).wait(patient(60)) == -9
    pipeline.start(Stage.MINE)
    assert_oracle(pipeline)
    topics = pipeline.streamed(PARTITIONS)
    assert len(topics.triples) > len(topics.mined())


def test_two_workers_that_come_and_go_equal_the_oracle(pipeline: LabelPipeline) -> None:
    """Two workers a stage share the partitions while records come; one is killed and rejoins."""
    log = _world(13).run(2_000)
    half = len(log) // 2
    pipeline.write(log[:half])
    first, _ = pipeline.start(Stage.JOIN), pipeline.start(Stage.JOIN)
    mines = [pipeline.start(Stage.MINE), pipeline.start(Stage.MINE)]
    middle = pipeline.last_closed(log[:half], PARTITIONS)
    pipeline.wait_until_done(Stage.JOIN, PARTITIONS, middle, 90)
    first.kill()
    pipeline.write(log[half:])
    pipeline.start(Stage.JOIN)
    mines[0].kill()
    pipeline.start(Stage.MINE)
    assert_oracle(pipeline)


def test_gaps_that_transactions_leave_are_no_loss(pipeline: LabelPipeline) -> None:
    """Committed and aborted ones, at the log's start and end: all is mined, nobody waits.

    Both stages start again in the middle, where the committed offset may be such a gap.
    """
    pipeline.faults = {"stalled_s": STALLED_S}
    log = _world(14).run(1_200)
    half = len(log) // 2
    pipeline.write_in_transactions(log[:half], records=150, aborted_every=2)
    workers = [pipeline.start(Stage.JOIN), pipeline.start(Stage.MINE)]
    middle = pipeline.last_closed(log[:half], PARTITIONS)
    pipeline.wait_until_done(Stage.JOIN, PARTITIONS, middle, 90)
    workers[0].terminate()
    workers[0].wait(patient(30))
    pipeline.write_in_transactions(log[half:], records=40, aborted_every=3)
    workers[0] = pipeline.start(Stage.JOIN)
    assert_oracle(pipeline)
    with pytest.raises(subprocess.TimeoutExpired):
        workers[0].wait(2 * STALLED_S)  # what is left to read are ends of transactions
    assert workers[1].poll() is None
