"""One side of the label benchmark in a process of its own, telling its CPU seconds in a file.

It is told as JSON: `{"side": "join", "kafka": {…}, …}`.

Sides: `join` and `mine` as they run, `nothing` (a Faust agent that only counts), `plain-join` and
`plain-mine` (a confluent-kafka loop round the same pure core), `open` (a join that holds searches).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faust
from confluent_kafka import Consumer, Producer

from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.event_log.kafka.config import consumer_config, producer_config
from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.garbage_collection import collect_garbage_seldom
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.schemas.labels import Stage
from sightline.schemas.topics import (
    EPOCHS_DONE,
    INTERACTIONS_LATE,
    SEARCHES_CLOSED,
    TRAINING_TRIPLES,
)
from sightline.stream_workers.labels.done_epochs import DoneEpochs
from sightline.stream_workers.labels.effects import (
    Destination,
    FinishedEpochs,
    Outgoing,
    SideRow,
)
from sightline.stream_workers.labels.join.closing import Source
from sightline.stream_workers.labels.join.core import JoinCore
from sightline.stream_workers.labels.mine.core import MineCore
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.stage.driver import driver
from sightline.stream_workers.labels.stage.partition import Core, PartitionStage
from sightline.stream_workers.labels.stage.process import StageProcess

BATCH = 1_000
_POLL_S = 0.25


@dataclass(frozen=True)
class Told:
    """What the parent said."""

    side: str
    kafka: KafkaSettings
    labels: LabelSettings
    interactions: str
    closed: str
    partitions: int
    expected: int
    """Records to take, searches to hold."""
    directory: Path
    result: Path

    def tell(self, **figures: float) -> None:
        """Write the figures, all at once."""
        draft = self.result.with_suffix(".draft")
        draft.write_text(json.dumps(figures))
        draft.replace(self.result)


class _Timed(StageProcess):
    """Remembers what the process had used when it began to read, and its partitions."""

    started: float | None = None
    stages: Mapping[int, PartitionStage] = {}

    def _prepare(self, *given: Any) -> Mapping[int, Callable[[], PartitionStage]]:
        made = super()._prepare(*given)
        self.started = self.started if self.started is not None else time.process_time()
        stages: dict[int, PartitionStage] = {}
        self.stages = stages

        def remembering(number: int, make: Callable[[], PartitionStage]) -> PartitionStage:
            stages[number] = make()
            return stages[number]

        return {number: partial(remembering, number, make) for number, make in made.items()}


def _stage(told: Told) -> None:
    """Runs until killed; the figures are written whenever `expected` records have been applied."""
    process = _Timed(
        kafka=told.kafka,
        log=KafkaEventLog(told.kafka),
        labels=told.labels,
        producer=KafkaEventProducer(told.kafka),
        interactions=told.interactions,
        closed=told.closed,
        data_directory=told.directory,
    )
    began, empty_bytes = time.monotonic(), _resident_bytes()

    def watch() -> None:
        cpu_s, progressed_at = 0.0, 0.0
        while True:
            time.sleep(_POLL_S)
            stages = list(process.stages.values())
            held = sum(stage.core.searches for stage in stages)
            applied = sum(stage.position for stage in stages)
            latest = max((stage.progressed_at for stage in stages), default=0.0)
            if latest != progressed_at:  # what it uses while it waits is no part of a rate
                cpu_s, progressed_at = time.process_time() - (process.started or 0.0), latest
            told.tell(
                cpu_s=cpu_s,
                at=time.time(),
                held=held,
                applied=applied,
                ready_s=time.monotonic() - began,
                bytes=_resident_bytes() - empty_bytes,
            )
            if told.side == "open" and held >= told.expected:
                return

    threading.Thread(target=watch, daemon=True).start()
    process.run(Stage.MINE if told.side == "mine" else Stage.JOIN)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _nothing(told: Told) -> None:
    """The driver of the stages, and an agent that only counts."""
    app = driver("nothing", told.kafka, told.directory)
    channel = app.topic(
        told.kafka.topic_prefix + told.interactions, value_serializer="raw", key_serializer="raw"
    )

    async def count(stream: Any) -> None:
        taken, started = 0, 0.0
        async for _ in stream.noack().events():
            started = started or time.process_time()
            taken += 1
            if taken == told.expected:
                told.tell(cpu_s=time.process_time() - started)

    app.agent(channel)(count)
    worker: Any = faust.Worker(app, quiet=True, override_logging=False, redirect_stdouts=False)
    worker.execute_from_commandline()


def _plain(told: Told) -> None:
    """Poll, apply, produce, flush: nothing is kept over a restart."""
    rules = LabelRules.of(told.labels)
    topic = told.closed if told.side == "plain-mine" else told.interactions
    prefix = told.kafka.topic_prefix
    consumer = Consumer(consumer_config(told.kafka, "plain"))
    consumer.subscribe([prefix + topic])
    producer = Producer(producer_config(told.kafka))
    names = {
        Destination.CLOSED: prefix + SEARCHES_CLOSED.name,  # the miner reads the imported ones
        Destination.OMITTED: prefix + INTERACTIONS_LATE.name,
        Destination.TRIPLES: prefix + TRAINING_TRIPLES.name,
    }
    cores: dict[int, Core] = {}
    taken, started = 0, 0.0
    while taken < told.expected:
        for message in consumer.consume(BATCH, 0.2):
            started = started or time.process_time()
            number = int(message.partition() or 0)
            core = cores.setdefault(number, _core(told, rules, number))
            for effect in core.apply(
                int(message.offset() or 0), message.timestamp()[1], message.value()
            ):
                if isinstance(effect, FinishedEpochs):
                    _send(producer, names, effect.records())
                    producer.flush()
                    _send(producer, names, effect.markers())
                    producer.produce(prefix + EPOCHS_DONE.name, b"{}", b"plain")
                    producer.flush()
                    core.finish(effect.done)
                elif isinstance(effect, SideRow):
                    _send(producer, names, iter([effect.record]))
                    core.settle(effect.offset)
            taken += 1
    producer.flush()
    told.tell(cpu_s=time.process_time() - started)


def _core(told: Told, rules: LabelRules, number: int) -> Core:
    if told.side == "plain-mine":
        return MineCore(rules, sources=told.partitions, done=DoneEpochs())
    return JoinCore(rules, Source(told.interactions, number, told.partitions), DoneEpochs())


def _send(
    producer: Producer, names: Mapping[Destination, str], records: Iterator[Outgoing]
) -> None:
    for record in records:
        while True:
            try:
                if record.partition is None:
                    producer.produce(names[record.destination], record.value, record.key)
                else:
                    producer.produce(
                        names[record.destination], record.value, record.key, record.partition
                    )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)


def run_side(argument: str, log: str) -> None:
    """Run one side; what it says is appended to the log."""
    said = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(said, stream)
    given = json.loads(argument)
    told = Told(
        **given
        | {
            "kafka": KafkaSettings(**given["kafka"]),
            "labels": LabelSettings(**given["labels"]),
            "directory": Path(given["directory"]),
            "result": Path(given["result"]),
        }
    )
    collect_garbage_seldom()  # as the stages do: on every side, or it would flatter them
    if told.side == "nothing":
        _nothing(told)
    elif told.side.startswith("plain"):
        _plain(told)
    else:
        _stage(told)
