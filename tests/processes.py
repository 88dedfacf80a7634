"""`sightline` commands for the end-to-end tests: to their end, or until they are told to stop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sightline.engine.settings import Settings
from sightline.infra.local.node_process import environment_of
from tests.patience import patient


def sightline(
    *arguments: str,
    settings: Settings,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, its output captured."""
    return subprocess.run(
        [sys.executable, "-m", "sightline.infra.cli", *arguments],
        env={**os.environ, **environment_of(settings), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=patient(timeout_s),
        check=False,
    )


def started(*arguments: str, settings: Settings, log: Path) -> subprocess.Popen[bytes]:
    """Start a command that runs until it is stopped; what it says is appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "sightline.infra.cli", *arguments],
            env={**os.environ, **environment_of(settings)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def stopped(process: subprocess.Popen[bytes], *, timeout_s: float = 30.0) -> int:
    """Ask it to end (SIGTERM) and wait: the exit code; killed, if it does not listen."""
    process.terminate()
    try:
        return process.wait(patient(timeout_s))
    finally:
        process.kill()
        process.wait()
