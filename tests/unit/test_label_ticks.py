"""The join's ticks: a local queue that is full is no reason to end the process."""

from __future__ import annotations

from pathlib import Path

from sightline.engine.errors import Overloaded, Part
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.schemas.topics import INTERACTIONS, SEARCHES_CLOSED
from sightline.stream_workers.labels.stage.process import StageProcess


def test_a_tick_that_finds_no_room_is_left_to_the_next(tmp_path: Path) -> None:
    """Every partition that has room is told the time, and the process goes on."""
    broker = MemoryBroker([INTERACTIONS, SEARCHES_CLOSED], 2)
    producer = MemoryEventProducer(broker)
    producer.refusals = [Overloaded(Part.BROKER, "queue full")]
    process = StageProcess(
        kafka=KafkaSettings(),
        log=MemoryEventLog(broker),
        labels=LabelSettings(),
        producer=producer,
        interactions=INTERACTIONS.name,
        closed=SEARCHES_CLOSED.name,
        data_directory=tmp_path,
    )
    process._tick()
    assert [told.partition for told in broker.records(INTERACTIONS.name)] == [1]
    process._tick()
    assert [told.partition for told in broker.records(INTERACTIONS.name)] == [0, 1, 1]
