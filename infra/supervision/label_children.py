"""Join and miner as children of the process that owns the stack, told by a line of JSON."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from sightline.engine.errors import DeadLetterLimit
from sightline.engine.ports import Clock
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.infra.supervision.children import (
    ChildProcess,
    kept_running,
    plain,
    run_child,
)
from sightline.infra.supervision.loops import Loop
from sightline.schemas.labels import Stage
from sightline.stream_workers.delivery.letter_limit import EXIT_DEAD_LETTER_LIMIT

FOLDER = "labels"
"""The folder in the data directory that holds the stages' few files."""
_MODULE = "sightline.infra.supervision.label_stage"


@dataclass(frozen=True, kw_only=True)
class StageChild:
    """The orders of a child process: which stage it runs, with which settings."""

    stage: Stage
    kafka: KafkaSettings
    labels: LabelSettings
    data_directory: Path
    run_id: str | None = None
    """Embedded only: stands in for the partition's past, as offsets begin at 0 again."""
    log_level: str = "INFO"
    metrics_host: str = "127.0.0.1"
    """Where its metrics are served, on the port that the settings give the stage."""

    def line(self) -> bytes:
        """The line that it reads; holds secrets."""
        told = {
            "stage": self.stage.value,
            "kafka": plain(self.kafka.model_dump()),
            "labels": plain(self.labels.model_dump()),
            "data_directory": str(self.data_directory),
            "run_id": self.run_id,
            "log_level": self.log_level,
            "metrics_host": self.metrics_host,
        }
        return json.dumps(told).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes) -> StageChild:
        """Reads the orders from the line that the parent process wrote."""
        told = json.loads(line)
        return cls(
            stage=Stage(told["stage"]),
            kafka=KafkaSettings(**told["kafka"]),
            labels=LabelSettings(**told["labels"]),
            data_directory=Path(told["data_directory"]),
            run_id=told["run_id"],
            log_level=told["log_level"],
            metrics_host=told["metrics_host"],
        )


def supervised(child: StageChild, clock: Clock) -> Loop:
    """A loop that keeps one child running.

    But for one that met too many dead letters: it would bury more of them at each start.
    """

    def gives_up(code: int) -> None:
        if code == EXIT_DEAD_LETTER_LIMIT:
            raise DeadLetterLimit(
                f"{child.stage} met more dead letters than labels.dead_letter_limit; its last "
                "log line says which: look with `sightline dlq list`, then start again"
            )

    return kept_running(child.stage, lambda stop: _run(child, stop), clock, gives_up=gives_up)


def say_what_is_lost(stop: threading.Event) -> None:
    """Wait for `stop`, and log which labels end with the embedded broker."""
    stop.wait()
    logging.getLogger(__name__).info(
        "interactions of epochs that are still open are lost with the embedded broker"
    )


def _run(child: StageChild, stop: threading.Event) -> int | None:
    """The exit code; None if we ended it. An embedded child's group ends with its broker."""
    told = ChildProcess(
        name=child.stage, module=_MODULE, line=child.line(), leaves=child.run_id is None
    )
    return run_child(told, stop)
