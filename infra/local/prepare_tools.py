"""Fetches everything that the tests need beside Python, before they run: `make tools`.

A first run takes minutes (MinIO is built), which belongs to no test's time limit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import typer

from sightline.engine.errors import RefusedToStart
from sightline.infra.local.kafka_jars import kafka_jars
from sightline.infra.local.minio_binary import minio_binary
from sightline.infra.local.toolchain import CHROMIUM, JAVA, locate

STEPS: Mapping[str, Callable[[], Path]] = {
    "Java": lambda: locate(JAVA),
    "Kafka": kafka_jars,
    "MinIO": minio_binary,
    "Chromium": lambda: locate(CHROMIUM),
}


def main(steps: Mapping[str, Callable[[], Path]] = STEPS) -> int:
    """Run the steps in order; 0, or 2 with one line for each tool that is missing."""
    return max([_run(name, step) for name, step in steps.items()], default=0)


def _run(name: str, step: Callable[[], Path]) -> int:
    started = time.monotonic()
    try:
        path = step()
    except RefusedToStart as error:
        typer.echo(f"{name}: {error}", err=True)
        return 2
    typer.echo(f"{name}: {path} ({time.monotonic() - started:.1f} s)", err=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
