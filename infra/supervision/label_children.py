"""Join and miner as children of the process that owns the stack: told, watched, started again.

A child reads what it needs as one line of JSON from standard input, so that no secret stands in
its environment, and ends when that input ends: when its parent is gone, however it went.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from sightline.engine.backoff import Backoff
from sightline.engine.errors import DeadLetterLimit
from sightline.engine.ports import Clock
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.infra.supervision.loops import Loop
from sightline.schemas.labels import Stage
from sightline.stream_workers.delivery.letter_limit import EXIT_DEAD_LETTER_LIMIT

FOLDER = "labels"
"""The folder in the data directory that holds the stages' few files."""
LEAVE_S = 8.0
"""A child that has not left its group by then is killed: what it did not finish is done again."""
STEADY_S = 60.0
"""A child that ran so long starts again with the shortest delay."""
_POLL_S = 0.1
_log = logging.getLogger(__name__)


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
            "kafka": _plain(self.kafka.model_dump()),
            "labels": _plain(self.labels.model_dump()),
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


def _plain(values: dict[str, object]) -> dict[str, object]:
    def told(value: object) -> object:
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        return str(value) if isinstance(value, Path) else value

    return {name: told(value) for name, value in values.items()}


def supervised(child: StageChild, clock: Clock) -> Loop:
    """A loop that keeps one child running: started again, with a growing delay, when it ends.

    But for one that met too many dead letters: it would bury more of them at each start.
    """

    def loop(stop: threading.Event) -> None:
        backoff = Backoff(initial_s=0.5, maximum_s=30.0)
        while not stop.is_set():
            started = clock.monotonic()
            code = _run(child, stop)
            if clock.monotonic() - started > STEADY_S:
                backoff.reset()
            if code == EXIT_DEAD_LETTER_LIMIT:
                raise DeadLetterLimit(
                    f"{child.stage} met more dead letters than labels.dead_letter_limit; its last "
                    "log line says which: look with `sightline dlq list`, then start again"
                )
            if code is not None:
                delay_s = backoff.next_s()
                _log.warning("%s ended with %s, again in %.1f s", child.stage, code, delay_s)
                stop.wait(delay_s)

    return loop


def _run(child: StageChild, stop: threading.Event) -> int | None:
    """The exit code; None if we ended it."""
    with subprocess.Popen(
        [sys.executable, "-m", "sightline.infra.supervision.label_stage"],
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
        start_new_session=True,  # Ctrl-C reaches us alone
    ) as process:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        process.stdin.write(child.line())
        process.stdin.flush()
        while not stop.wait(_POLL_S):
            if process.poll() is not None:
                return process.returncode
        if child.run_id is None:
            process.terminate()
            try:
                process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                _log.warning("%s did not leave its group in time", child.stage)
        process.kill()  # an embedded child's group ends with its broker
        return None
