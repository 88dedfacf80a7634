"""The topics of one run of the label benchmark, and the processes that read them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.label_side import run_side
from benchmarks.processes import fresh
from sightline.engine.event_log.kafka import read_topics
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.schemas.labels import Stage
from sightline.schemas.topics import (
    EPOCHS_DONE,
    INTERACTIONS_IMPORTED,
    SEARCHES_CLOSED_IMPORTED,
    TOPICS,
    Topic,
)
from sightline.stream_workers.labels.stage.done_topic import done_ranges

PARTITIONS = 2
DEADLINE_S = 300.0


@dataclass
class Corner:
    """Topics of one run on a broker."""

    kafka: KafkaSettings
    directory: Path
    labels: LabelSettings = field(default_factory=LabelSettings)

    @contextmanager
    def side(
        self,
        side: str,
        *,
        expected: int = 0,
        interactions: Topic = INTERACTIONS_IMPORTED,
        closed: Topic = SEARCHES_CLOSED_IMPORTED,
    ) -> Iterator[Callable[[], dict[str, float]]]:
        """A process; what it tells so far, empty at first."""
        result = self.directory / f"{side}-{uuid.uuid4().hex}.json"
        told = {
            "side": side,
            "kafka": self.kafka.model_dump(mode="json", exclude_none=True),
            "labels": self.labels.model_dump(mode="json"),
            "interactions": interactions.name,
            "closed": closed.name,
            "partitions": PARTITIONS,
            "expected": expected,
            "directory": str(result.with_suffix("")),
            "result": str(result),
        }
        log = str(self.directory / "sides.log")
        process = fresh().Process(target=run_side, args=(json.dumps(told), log))
        process.start()
        try:
            yield lambda: json.loads(result.read_text()) if result.exists() else {}
        finally:
            process.kill()
            process.join()

    def spent(self, stage: Stage, epoch: int, told: Callable[[], dict[str, float]]) -> float:
        """CPU seconds of a stage's process until it has finished that epoch everywhere."""
        until(lambda: self.done(stage, epoch))
        finished_at = time.time()
        return float(until(lambda: (now := told()).get("at", 0.0) > finished_at and now)["cpu_s"])

    def done(self, stage: Stage, epoch: int) -> bool:
        """Whether the stage has finished that epoch everywhere."""
        topic = INTERACTIONS_IMPORTED if stage is Stage.JOIN else SEARCHES_CLOSED_IMPORTED
        told = read_topics(self.kafka, [EPOCHS_DONE.name])
        done = done_ranges(told, stage, topic.name, run_id=None)
        return len(done) == self.kafka.partitions and all(
            max(d).epoch >= epoch for d in done.values()
        )


def until(
    condition: Callable[[], Any], interval_s: float = 0.2, deadline_s: float = DEADLINE_S
) -> Any:
    """What the condition answers once it does.

    Raises:
        TimeoutError: it never did.
    """
    deadline = time.monotonic() + deadline_s
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("a side of the benchmark did not end, see its log")
        time.sleep(interval_s)
    return answer


@contextmanager
def corner(kafka: LocalKafka, directory: Path, labels: LabelSettings) -> Iterator[Corner]:
    """Fresh topics."""
    settings = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=f"b{uuid.uuid4().hex[:10]}.",
        partitions=PARTITIONS,
        session_timeout_s=6.0,
    )
    KafkaTopics(settings).ensure(TOPICS)
    yield Corner(settings, directory, labels)
