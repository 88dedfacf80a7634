"""What ends a label stage, and what drives it where nobody else does: on real Kafka, in Faust."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sightline.engine.event_log.kafka.producer import KafkaEventProducer
from sightline.engine.event_log.kafka.whole_topics import read_topics
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import KafkaSettings
from sightline.schemas.dead_letters import DeadLetterFacts
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.interactions import Interaction, Kind, ResultsInteracted
from sightline.schemas.labels import Stage
from sightline.schemas.searches import ImageQuery, ResultsShown, ShownImage
from sightline.schemas.topics import (
    EPOCHS_DONE,
    INTERACTIONS,
    INTERACTIONS_DLQ,
    INTERACTIONS_IMPORTED,
    INTERACTIONS_IMPORTED_DLQ,
    SEARCHES_CLOSED,
    TRAINING_TRIPLES,
)
from sightline.stream_workers.delivery.letter_limit import EXIT_DEAD_LETTER_LIMIT
from sightline.stream_workers.labels.stage.process import EXIT_FAILED
from tests.label_kafka import LabelPipeline
from tests.label_world import SMALL_RULES, START_MS, far_hash, ticked
from tests.oracle_labels import Recorded
from tests.patience import patient
from tests.waiting import eventually

ENDS_WITHIN_S = 90
RULES = replace(SMALL_RULES, window_ms=2_000)


@pytest.fixture
def pipeline(kafka_settings: KafkaSettings, tmp_path: Path) -> Iterator[LabelPipeline]:
    """Topics, and workers that are gone afterwards."""
    labels = LabelPipeline(kafka_settings, RULES, tmp_path)
    labels.create()
    yield labels
    labels.stop()


def _log_of(pipeline: LabelPipeline) -> str:
    return pipeline.workers[0].log.read_text()


def test_lag_that_nobody_works_on_ends_the_process(pipeline: LabelPipeline) -> None:
    """`EpochDone` is never acknowledged, so taking stops: the watchdog ends the process."""
    pipeline.faults = {"stalled_s": 2.0}
    pipeline.write([ticked(START_MS + 10_000 * number) for number in range(60)])
    ended = pipeline.start(Stage.JOIN, hangs_on=EPOCHS_DONE.name).wait(patient(ENDS_WITHIN_S))
    assert ended == EXIT_FAILED
    assert f"Stalled: {pipeline.kafka.topic_prefix}{INTERACTIONS_IMPORTED.name}/0: at" in _log_of(
        pipeline
    )


def test_too_many_dead_letters_end_the_process(pipeline: LabelPipeline) -> None:
    """Three are borne, the fourth ends it; it was not sent, and the line says what to do."""
    pipeline.faults = {"dead_letter_limit": 3}
    pipeline.write([Recorded(0, n, START_MS + n, b"nonsense") for n in range(9)])
    for _ in range(2):
        assert pipeline.start(Stage.JOIN).wait(patient(ENDS_WITHIN_S)) == EXIT_DEAD_LETTER_LIMIT
    assert "labels.dead_letter_limit" in _log_of(pipeline)
    letters = read_topics(pipeline.kafka, [INTERACTIONS_IMPORTED_DLQ.name])
    assert {DeadLetterFacts.parse(list(letter.headers)).offset for letter in letters} <= {0, 1, 2}


def test_on_a_live_topic_ticks_alone_close_epochs(
    kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    """The broker stamps the records; one search and its click, then silence: triples come."""
    pipeline = LabelPipeline(
        kafka_settings,
        RULES,
        tmp_path,
        interactions=INTERACTIONS,
        closed=SEARCHES_CLOSED,
        faults={"tick_s": 0.5},
    )
    pipeline.create()
    producer = KafkaEventProducer(kafka_settings)
    try:
        page = _page(datetime.now(UTC))
        for data in (page, _click(page)):
            event: Event[EventData] = Event.of(
                data, event_id=data.TYPE, source="urn:t", time=page.issued_at
            )
            producer.append(
                ProducerRecord(INTERACTIONS.name, page.actor_id, event.encode())
            ).result(patient(30))
        pipeline.start(Stage.JOIN)
        pipeline.start(Stage.MINE)
        triples = eventually(
            lambda: list(read_topics(kafka_settings, [TRAINING_TRIPLES.name])),
            timeout_s=ENDS_WITHIN_S,
            interval_s=0.5,
        )
        assert len(triples) == 2
        assert not list(read_topics(kafka_settings, [INTERACTIONS_DLQ.name]))
    finally:
        producer.close()
        pipeline.stop()


def _page(now: datetime) -> ResultsShown:
    shown = tuple(
        ShownImage(image_id=f"i{n}", position=n, score=1 - n / 100, perceptual_hash=far_hash(n))
        for n in range(1, 4)
    )
    return ResultsShown(
        search_id="s",
        issued_at=now,
        actor_id="ann",
        session_id="x",
        anchor_id="a",
        query=ImageQuery(image_id="a"),
        anchor_perceptual_hash=far_hash(0),
        shown=shown,
        model_digest="m",
        generation="g",
    )


def _click(page: ResultsShown) -> ResultsInteracted:
    click = Interaction(
        event_id="c", kind=Kind.CLICKED, image_id="i3", position=3, since_answer_ms=500
    )
    return ResultsInteracted(
        search_id=page.search_id,
        issued_at=page.issued_at,
        actor_id=page.actor_id,
        received_at=page.issued_at,
        items=(click,),
    )
