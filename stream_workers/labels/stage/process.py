"""A label stage as a process: wires core, producer and Faust, and ends on whatever goes wrong."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import faust

from sightline.engine.clock import SystemClock
from sightline.engine.errors import DeadLetterLimit, Overloaded
from sightline.engine.garbage_collection import collect_garbage_seldom
from sightline.engine.metrics import Metrics
from sightline.engine.ports import BatchEventProducer, EventLog
from sightline.engine.records import ProducerRecord, TopicPartition
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.schemas.envelope import Event
from sightline.schemas.interactions import ClockTicked
from sightline.schemas.labels import Stage
from sightline.schemas.topics import (
    EPOCHS_DONE,
    INTERACTIONS_LATE,
    TRAINING_TRIPLES,
    TimestampType,
)
from sightline.schemas.topics import topic as topic_named
from sightline.stream_workers.delivery.dead_letters import DeadLetterDesk
from sightline.stream_workers.delivery.letter_limit import (
    EXIT_DEAD_LETTER_LIMIT,
    LetterLimit,
    LetterRate,
)
from sightline.stream_workers.labels.done_epochs import DoneEpochs
from sightline.stream_workers.labels.effects import Destination
from sightline.stream_workers.labels.groups import join_group, mine_group
from sightline.stream_workers.labels.join.closing import Source
from sightline.stream_workers.labels.join.core import JoinCore
from sightline.stream_workers.labels.mine.core import MineCore
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.stage.done_topic import done_ranges
from sightline.stream_workers.labels.stage.driver import driver
from sightline.stream_workers.labels.stage.faust_shell import FaustStage, attach
from sightline.stream_workers.labels.stage.figures import StageFigures
from sightline.stream_workers.labels.stage.partition import (
    Core,
    PartitionStage,
    StageOutputs,
    StageSource,
)

EXIT_FAILED = 70
_log = logging.getLogger(__name__)


def exit_now(error: BaseException) -> NoReturn:
    """Say why and end at once: what was not acknowledged is done again after the restart."""
    _log.critical("label stage ends: %s: %s", type(error).__name__, error, exc_info=error)
    sys.stderr.flush()
    os._exit(EXIT_DEAD_LETTER_LIMIT if isinstance(error, DeadLetterLimit) else EXIT_FAILED)


class _Work(NamedTuple):
    """Which stage reads what, and what decides."""

    stage: Stage
    group: str
    topic: str
    core: Callable[[int, DoneEpochs], Core]


class StageProcess:
    """Builds the Faust app of one stage over one pair of topics.

    Args:
        kafka: how Faust, which has a client of its own, reaches the cluster.
        log: what else is read of it.
        labels: rules, groups and times.
        producer: of everything that is sent.
        interactions: the source topic of the pipeline, without prefix.
        closed: its topic of closed searches, without prefix.
        data_directory: where Faust may keep its few files.
        run_id: embedded only.
        metrics: of the process.
    """

    def __init__(
        self,
        *,
        kafka: KafkaSettings,
        log: EventLog,
        labels: LabelSettings,
        producer: BatchEventProducer,
        interactions: str,
        closed: str,
        data_directory: Path,
        run_id: str | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._kafka = kafka
        self._log = log
        self._labels = labels
        self._rules = LabelRules.of(labels)
        self._producer = producer
        self._interactions = interactions
        self._closed = closed
        self._directory = data_directory
        self._run_id = run_id
        self._metrics = metrics if metrics is not None else Metrics()
        rate = LetterRate.of(labels, "labels")
        self._clock = SystemClock()
        self._sources = log.partition_count(interactions)
        self._targets = log.partition_count(closed)
        self._outputs = StageOutputs(
            producer=producer,
            destinations={
                Destination.CLOSED: closed,
                Destination.OMITTED: INTERACTIONS_LATE.name,
                Destination.TRIPLES: TRAINING_TRIPLES.name,
            },
            letters=DeadLetterDesk(LetterLimit(rate), self._metrics),
        )

    def run(self, stage: Stage) -> None:
        """Work until SIGTERM or SIGINT; the caller has set up the logs."""
        collect_garbage_seldom()
        app: Any = self.join() if stage is Stage.JOIN else self.mine()
        worker = faust.Worker(app, quiet=True, override_logging=False, redirect_stdouts=False)
        worker.spinner = None  # it writes escape sequences into logs
        worker.execute_from_commandline()

    def join(self) -> faust.App:
        """The app of the join; it ticks where the broker stamps the records."""
        live = topic_named(self._interactions).timestamps is TimestampType.LOG_APPEND_TIME
        work = _Work(
            Stage.JOIN,
            join_group(self._labels, self._interactions),
            self._interactions,
            lambda p, done: JoinCore(
                self._rules, Source(self._interactions, p, self._targets), done
            ),
        )
        return self._app(work, tick=self._tick if live else None)

    def mine(self) -> faust.App:
        """Builds the Faust app of the miner, which reads closed searches."""
        work = _Work(
            Stage.MINE,
            mine_group(self._labels, self._closed),
            self._closed,
            lambda _, done: MineCore(self._rules, sources=self._sources, done=done),
        )
        return self._app(work, tick=None)

    def _app(self, work: _Work, *, tick: Callable[[], None] | None) -> faust.App:
        figures = StageFigures(self._metrics, work.stage)
        described = FaustStage(
            name=work.group,
            topic=self._kafka.topic_prefix + work.topic,
            prepare=partial(self._prepare, work, figures),
            clock=self._clock,
            fail=exit_now,
            stalled_s=self._labels.stalled_s,
            figures=figures,
            tick_s=self._labels.tick_s,
            tick=tick,
        )
        app = driver(work.group, self._kafka, self._directory / work.group)
        attach(described, app)
        return app

    def _prepare(
        self, work: _Work, figures: StageFigures, partitions: list[int]
    ) -> Mapping[int, Callable[[], PartitionStage]]:
        """Makers of the partitions' stages, from what the log says now.

        First where to start, then what is done: an offset that is newer than the list of done
        epochs would lie in the middle of one of them.
        """
        starts = self._log.start_offsets(work.group, work.topic, partitions)
        told = self._log.read([EPOCHS_DONE.name])
        done = done_ranges(told, work.stage, work.topic, run_id=self._run_id)

        def make(number: int) -> PartitionStage:
            return PartitionStage(
                StageSource(
                    stage=work.stage,
                    topic=work.topic,
                    partition=number,
                    start=starts[number],
                    next_record=partial(self._log.next_record, TopicPartition(work.topic, number)),
                    run_id=self._run_id,
                ),
                work.core(number, DoneEpochs(done.get(number, ()))),
                self._outputs,
                clock=self._clock,
                fail=exit_now,
                figures=figures,
            )

        return {number: partial(make, number) for number in partitions}

    def _tick(self) -> None:
        """Tell every partition the time; one whose record finds no room learns it next time."""
        now = self._clock.now()
        event = Event[ClockTicked].of(
            ClockTicked(ticker_id="label-join"),
            event_id=f"tick-{now.timestamp():.3f}",
            source="urn:sightline:label-join",
            time=now,
        )
        for number in range(self._sources):
            with suppress(Overloaded):
                self._producer.append(
                    ProducerRecord(
                        self._interactions, "tick", event.encode(), partition=number, timestamp=now
                    )
                )
