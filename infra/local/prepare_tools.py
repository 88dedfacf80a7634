"""Fetches what the tests need beside Python: before them (`make tools`), or while they run.

`python -m … --while pytest -n 3` fetches in the background while the command runs. Where it takes
longer than a moment, the command gets `--servers-last`, so that tests without servers go first.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from sightline.engine.errors import RefusedToStart
from sightline.infra.local.kafka_classes import archived_kafka
from sightline.infra.local.minio_binary import minio_binary
from sightline.infra.local.toolchain import CHROMIUM, JAVA, locate

WHILE, SERVERS_LAST = "--while", "--servers-last"
MISSING = 2
_MOMENT_S = 20.0
"""What a package manager takes; a run that begins with the slow tests ends minutes earlier."""


@dataclass(frozen=True)
class ToolStep:
    """How to get one tool, and what that takes where it is not there yet."""

    get: Callable[[], Path]
    takes: str


STEPS: Mapping[str, ToolStep] = {
    "MinIO": ToolStep(
        minio_binary,
        "built from source with Go, once: 2 minutes on two quiet cores, 13 on a slow busy machine",
    ),
    "Kafka": ToolStep(archived_kafka, "43 MB fetched by Maven, its classes archived, once"),
    "Java": ToolStep(lambda: locate(JAVA), "installed by apt-get, once"),
    "Chromium": ToolStep(lambda: locate(CHROMIUM), "installed by apt-get, once"),
}


def prepare_all(steps: Mapping[str, ToolStep] = STEPS) -> int:
    """Run the steps side by side; 0, or 2 with one line for each tool that is missing."""
    there: list[str] = []
    # Daemons, and no pool: at its end, Python waits for the threads of every pool.
    threads = [
        threading.Thread(target=_run, args=(name, step, there), daemon=True)
        for name, step in steps.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0 if len(there) == len(steps) else MISSING


def prepare_while(command: Sequence[str], steps: Mapping[str, ToolStep] = STEPS) -> int:
    """Run the steps beside a command; its exit code. A tool that is missing fails who needs it."""
    preparing = threading.Thread(target=prepare_all, args=(steps,), daemon=True)
    preparing.start()
    preparing.join(_MOMENT_S)
    late = [SERVERS_LAST] if preparing.is_alive() else []
    return subprocess.run([*command, *late], check=False).returncode  # noqa: S603 - Makefile's own


def _run(name: str, step: ToolStep, there: list[str]) -> None:
    started = time.monotonic()
    telling = threading.Timer(_MOMENT_S / 8, _tell, (name, step.takes))
    telling.daemon = True
    telling.start()
    try:
        path = step.get()
    except RefusedToStart as error:
        typer.echo(f"{name}: {error}", err=True)
        return
    finally:
        telling.cancel()
    there.append(name)
    typer.echo(f"{name}: {path} ({time.monotonic() - started:.1f} s)", err=True)


def _tell(name: str, takes: str) -> None:
    typer.echo(f"{name}: {takes} …", err=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(prepare_while(given[1:]) if given[:1] == [WHILE] else prepare_all())
