"""`sightline up` as a child process: started, killed and started again on the same data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, Self

from pydantic import SecretStr

from sightline.engine.connecting import owner
from sightline.engine.errors import RefusedToStart
from sightline.engine.settings import NONE_WORD, Settings

START_TIMEOUT_S = 600.0
"""3 s on a quiet machine, measured; a bound for what hangs, not for what is slow."""
STOP_TIMEOUT_S = 300.0
"""The same: 1 s, measured."""
_POLL_S = 0.05


class Launched(Protocol):
    """A running child process: the part of `Popen` that is needed of it."""

    @property
    def pid(self) -> int:
        """The id that the operating system gave it."""

    def poll(self) -> int | None:
        """The exit code of the process; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Waits until it ends: the exit code. Raises `subprocess.TimeoutExpired`."""

    def send_signal(self, number: int, /) -> None:
        """Sends a signal, such as SIGTERM, to the process."""


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables from which a child process reads these settings; holds secrets.

    Defaults are left out, as the child has them too; so are lists.
    """
    variables: dict[str, str] = {}

    def add(prefix: str, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                add(f"{prefix}{name.upper()}__", value)
            elif not isinstance(value, (tuple, list)):
                plain = value.get_secret_value() if isinstance(value, SecretStr) else value
                variables[f"SIGHTLINE_{prefix}{name.upper()}"] = (
                    NONE_WORD if plain is None else str(plain)
                )

    add("", settings.model_dump(exclude_defaults=True))
    return variables


class NodeProcess:
    """One `sightline up` around one data directory.

    Args:
        settings: of the child; `settings.data_directory` is its alone.
        log: what the child says is appended here.
        environment: further variables of the child.
        command: another one that serves the API, such as `api`.
    """

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        command: str = "up",
    ) -> None:
        self._environment = environment_of(settings) | dict(environment or {})
        self.data_directory = settings.data_directory
        self._command = command
        self.log = log
        self._process: Launched | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    @property
    def url(self) -> str:
        """The base URL of the API, once the child process runs."""
        running = owner.find_owner(self.data_directory)
        if running is None:
            raise RefusedToStart(f"it does not run, see {self.log}")
        return running.url

    @property
    def pid(self) -> int:
        """The id of the child process, which must have been started."""
        return self._started().pid

    def start(self) -> None:
        """Start it; returns once the API answers.

        Raises:
            RefusedToStart: it ended, or did not answer in time; quotes the end of its log.
        """
        self._process = self.launch(self._command, self._environment)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            if time.monotonic() > deadline:
                raise RefusedToStart(f"not ready after {START_TIMEOUT_S:.0f} s: {self._tail()}")
            time.sleep(_POLL_S)

    def launch(self, command: str, environment: Mapping[str, str]) -> Launched:
        """Run a `sightline` command with further variables; what it says goes into the log."""
        with self.log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "sightline.infra.cli", command],
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """Kills the child process as a crash would (SIGKILL), and waits for its end."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Asks the child process to stop (SIGTERM), and returns its exit code."""
        return self._end(signal.SIGTERM)

    def poll(self) -> int | None:
        """The exit code of the child process; None while it runs."""
        return self._started().poll()

    def wait(self) -> int:
        """Wait until it ends by itself; the exit code."""
        return self._started().wait(STOP_TIMEOUT_S)

    def _end(self, number: signal.Signals) -> int:
        process = self._started()
        process.send_signal(number)
        return process.wait(STOP_TIMEOUT_S)

    def _ready(self) -> bool:
        process = self._started()
        if (code := process.poll()) is not None:
            raise RefusedToStart(f"it ended with {code}: {self._tail()}")
        running = owner.find_owner(self.data_directory)
        return running is not None and running.pid == process.pid

    def _started(self) -> Launched:
        if self._process is None:
            raise RefusedToStart("it was never started")
        return self._process

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-1500:]
