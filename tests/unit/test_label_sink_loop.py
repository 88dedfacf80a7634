"""The loop around the sink's partitions: a broker that is down is waited out, also at first."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.health import Health
from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.label_data.triple_table import read_triples
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.ports import LogFollower
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import SinkSettings
from sightline.schemas.topics import TRAINING_TRIPLES
from sightline.stream_workers.labels.sink.loop import LabelSink
from tests.label_rows import triple, triple_id

BUCKET = "sightline"
TOPIC = TRAINING_TRIPLES.name


def test_a_broker_that_is_down_at_first_is_waited_out(tmp_path: Path) -> None:
    """The topic is opened again until it works, and what it holds becomes a file."""
    store = DirectoryObjectStore(tmp_path)
    store.ensure_bucket(BUCKET)
    broker, stop = MemoryBroker([TRAINING_TRIPLES], 1), threading.Event()
    producer = MemoryEventProducer(broker)
    producer.append(ProducerRecord(TOPIC, "k", triple(1)))
    seen: list[tuple[Part, bool]] = []
    health = Health(ManualClock(), changed=lambda told: seen.append((told.part, told.up)))
    refused: list[Mapping[int, int]] = []

    def follow(starts: Mapping[int, int]) -> LogFollower:
        if not refused:
            refused.append(starts)
            raise PartUnavailable(Part.BROKER, "starting")
        return MemoryEventLog(broker).follow(TOPIC, starts, group="sink")

    sink = LabelSink(
        follow=follow,
        partitions=(0,),
        manifest=TripleManifest(store, BUCKET, TOPIC),
        producer=producer,
        settings=SinkSettings(max_rows=1),
        clock=Stopping(stop),
        metrics=Metrics(),
        health=health,
    )
    sink.run(stop)
    assert refused == [{0: 0}]
    assert [up for part, up in seen if part is Part.BROKER] == [False, True]
    assert list(read_triples(store, BUCKET)["triple_id"].to_pylist()) == [triple_id(1)]


class Stopping(ManualClock):
    """Ends the loop once the sink has asked the time of what it holds."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        self._stop.set()
        return super().monotonic()
