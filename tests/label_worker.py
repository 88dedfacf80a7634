"""A label stage in a process of its own that can be told to die right before a send."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import Future
from pathlib import Path

import faust

from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.event_log.kafka.producer import KafkaEventProducer
from sightline.engine.garbage_collection import collect_garbage_seldom
from sightline.engine.ports import EventBatch
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.schemas.topics import EPOCHS_DONE
from sightline.stream_workers.labels.stage import faust_shell
from sightline.stream_workers.labels.stage.process import StageProcess
from tests.patience import patient


class DyingProducer:
    """Sends at least so many records, flushes them, and dies by SIGKILL right before the next.

    It waits for a moment in the middle of an epoch: its last send was no `EpochDone`. What goes to
    the topic `hangs_on` is never acknowledged.
    """

    def __init__(
        self, producer: KafkaEventProducer, dies_before: int | None, hangs_on: str | None
    ) -> None:
        self._producer = producer
        self._hangs_on = hangs_on
        self._left = dies_before
        self._last = EPOCHS_DONE.name

    def append(self, record: ProducerRecord) -> Future[Message]:
        """Send, or die."""
        self.about_to_send(record.topic)
        if self.hangs(record.topic):
            return Future()
        return self._producer.append(record)

    def batch(self) -> EventBatch:
        """One whose every message is a send."""
        return _DyingBatch(self, self._producer.batch())

    def about_to_send(self, topic: str) -> None:
        """Count, or die."""
        if self._left is not None:
            if self._left <= 0 and self._last != EPOCHS_DONE.name:
                self._producer.flush(patient(10))
                os.kill(os.getpid(), signal.SIGKILL)
            self._left -= 1
        self._last = topic

    def hangs(self, topic: str) -> bool:
        """Whether what goes there is never acknowledged."""
        return topic == self._hangs_on

    def flush(self, timeout_s: float) -> None:
        """Of the real one."""
        self._producer.flush(timeout_s)

    def close(self) -> None:
        """Of the real one."""
        self._producer.close()


class _DyingBatch:
    """A batch of the dying producer."""

    def __init__(self, dying: DyingProducer, batch: EventBatch) -> None:
        self._dying = dying
        self._batch = batch
        self._hangs = False

    def append(self, record: ProducerRecord) -> None:
        """Send, or die."""
        self._dying.about_to_send(record.topic)
        if self._dying.hangs(record.topic):
            self._hangs = True
        else:
            self._batch.append(record)

    def seal(self) -> Future[int]:
        """Of the real one, unless something hangs."""
        return Future() if self._hangs else self._batch.seal()


def work(argument: str) -> None:
    """Run until killed; like the product's process, which `StageProcess.run` starts.

    Args:
        argument: `{"stage": "join", "kafka": {…}, "labels": {…}, …}`.
    """
    collect_garbage_seldom()
    told = json.loads(argument)
    if told["commit_interval_s"] is not None:
        faust_shell.COMMIT_INTERVAL_S = told["commit_interval_s"]
    kafka = KafkaSettings(**told["kafka"])
    producer = DyingProducer(KafkaEventProducer(kafka), told["dies_before"], told["hangs_on"])
    process = StageProcess(
        kafka=kafka,
        log=KafkaEventLog(kafka),
        labels=LabelSettings(**told["labels"]),
        producer=producer,
        interactions=told["interactions"],
        closed=told["closed"],
        data_directory=Path(told["data_directory"]),
    )
    app = process.join() if told["stage"] == "join" else process.mine()
    faust.Worker(app, loglevel="INFO").execute_from_commandline()
