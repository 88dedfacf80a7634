"""Child processes as loops of their parent: told by a line, watched, started again when they end.

A child reads what it needs as one line from standard input, so that no secret stands in its
environment, and ends when that input ends: when its parent is gone, however it went.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from sightline.engine.backoff import Backoff
from sightline.engine.ports import Clock
from sightline.infra.supervision.loops import Loop

LEAVE_S = 8.0
"""A child that has not left by then is killed: what it did not finish is done again."""
STEADY_S = 60.0
"""A child that ran so long starts again with the shortest delay."""
_POLL_S = 0.1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildProcess:
    """A module that runs as a child, and what it is told."""

    name: str
    module: str
    """Its `main` reads the line."""
    line: bytes
    """Ends in a line feed; holds secrets."""
    leaves: bool = True
    """Asked to end and waited for; else it is killed at once."""


def kept_running(
    name: str,
    run: Callable[[threading.Event], int | None],
    clock: Clock,
    *,
    gives_up: Callable[[int], object] = lambda _: None,
) -> Loop:
    """A loop that keeps one child running: started again, with a growing delay, when it ends.

    Args:
        name: for the log.
        run: runs it once, until it ends (its exit code) or is ended by `stop` (None).
        clock: tells how long it ran.
        gives_up: told the exit code; raises where it must not be started again.
    """

    def loop(stop: threading.Event) -> None:
        backoff = Backoff(initial_s=0.5, maximum_s=30.0)
        while not stop.is_set():
            started = clock.monotonic()
            code = run(stop)
            if clock.monotonic() - started > STEADY_S:
                backoff.reset()
            if code is not None:
                gives_up(code)
                delay_s = backoff.next_s()
                _log.warning("%s ended with %s, again in %.1f s", name, code, delay_s)
                stop.wait(delay_s)

    return loop


def run_child(child: ChildProcess, stop: threading.Event) -> int | None:
    """Run it once; the exit code, or None if we ended it."""
    with subprocess.Popen(  # noqa: S603 - one of our own modules
        [sys.executable, "-m", child.module],
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
        start_new_session=True,  # Ctrl-C reaches us alone
    ) as process:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        process.stdin.write(child.line)
        process.stdin.flush()
        while not stop.wait(_POLL_S):
            if process.poll() is not None:
                return process.returncode
        if child.leaves:
            process.terminate()
            try:
                process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                _log.warning("%s did not leave in time", child.name)
        process.kill()
        return None


def plain(value: Any) -> Any:
    """Settings as values of JSON, secrets told: for the line to a child, and nothing else."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value
