"""Join, miner and sink in this process: their cores and topics, without a broker or workers.

What comes of it is what the workers make of the same records, offset by offset.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sightline.engine.clock import SystemClock
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.ports import ObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import SinkSettings
from sightline.schemas.topics import (
    INTERACTIONS_IMPORTED,
    SEARCHES_CLOSED_IMPORTED,
    TRAINING_TRIPLES,
)
from sightline.stream_workers.labels.done_epochs import DoneEpochs
from sightline.stream_workers.labels.effects import Destination, Effect, FinishedEpochs
from sightline.stream_workers.labels.join.closing import Source
from sightline.stream_workers.labels.join.core import JoinCore
from sightline.stream_workers.labels.mine.core import MineCore
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.sink.partition import PartitionSink


@dataclass(frozen=True)
class MemoryStages:
    """The label stages on a log in memory, which holds imported interactions."""

    broker: MemoryBroker
    partitions: int
    """Of every topic."""
    rules: LabelRules

    def join_and_mine(self) -> None:
        """Read all interactions, then all closed searches that came of them."""
        for at in range(self.partitions):
            source = Source(INTERACTIONS_IMPORTED.name, at, self.partitions)
            self._apply(JoinCore(self.rules, source, DoneEpochs()), INTERACTIONS_IMPORTED.name, at)
        for at in range(self.partitions):
            mine = MineCore(self.rules, sources=self.partitions, done=DoneEpochs())
            self._apply(mine, SEARCHES_CLOSED_IMPORTED.name, at)

    def sink(self, store: ObjectStore, bucket: str) -> None:
        """Write to Parquet what the miner has said so far."""
        manifest = TripleManifest(store, bucket, TRAINING_TRIPLES.name)
        for at in range(self.partitions):
            sink = PartitionSink(
                manifest, at, limits=SinkSettings(), clock=SystemClock(), bury=lambda *_: None
            )
            for record in self.broker.records(TRAINING_TRIPLES.name):
                if record.partition == at:
                    sink.take(record)
            sink.flush()

    def _apply(self, core: JoinCore | MineCore, topic: str, partition: int) -> None:
        for record in self.broker.records(topic):
            if record.partition == partition:
                at_ms = round(record.timestamp.timestamp() * 1_000)
                self._send(core, core.apply(record.offset, at_ms, record.value))

    def _send(self, core: JoinCore | MineCore, effects: Iterable[Effect]) -> None:
        topics = {
            Destination.CLOSED: SEARCHES_CLOSED_IMPORTED.name,
            Destination.TRIPLES: TRAINING_TRIPLES.name,
        }
        producer = MemoryEventProducer(self.broker)
        for effect in effects:
            if not isinstance(effect, FinishedEpochs):
                continue
            for sent in (*effect.records(), *effect.markers()):
                topic = topics.get(sent.destination)
                if topic is not None:
                    producer.append(
                        ProducerRecord(topic, sent.key, sent.value, partition=sent.partition)
                    )
            core.finish(effect.done)
