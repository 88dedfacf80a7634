"""One server as a child process: started until it answers, stopped, or killed; its log kept."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sightline.engine.errors import RefusedToStart
from sightline.infra.local.free_ports import is_free

POLL_INTERVAL_S = 0.05
LOG_TAIL_CHARACTERS = 2_000


class ServerDidNotStart(RefusedToStart):
    """A server ended or did not answer in time; the message quotes the end of its log."""


class ServerProcess:
    """A server with its own process group, so that a Ctrl-C at the terminal does not reach it.

    Args:
        name: for messages.
        log: standard output and error are appended to this file.
    """

    def __init__(self, name: str, log: Path) -> None:
        self._name = name
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The operating system's id of the running process.

        Raises:
            RuntimeError: it is not running.
        """
        if self._process is None:
            raise RuntimeError(f"{self._name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has been started and not ended."""
        return self._process is not None and self._process.poll() is None

    def start(
        self,
        command: Sequence[str | Path],
        answers: Callable[[], bool],
        *,
        port: int,
        environment: Mapping[str, str],
        timeout_s: float,
    ) -> None:
        """Start it and return when it answers.

        Raises:
            ServerDidNotStart: its port is taken (whoever answers there is not ours), it ended,
                or it did not answer in time (then it is ended).
        """
        if self.running:
            raise RuntimeError(f"{self._name} is already running")
        if not is_free(port):
            raise ServerDidNotStart(f"{self._name}: port {port} is taken; choose another")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        self._wait(answers, timeout_s)

    def _wait(self, answers: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not answers():
            if not self.running:
                raise ServerDidNotStart(f"{self._name} ended at its start: {self._log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerDidNotStart(
                    f"{self._name} did not answer in {timeout_s:.0f} s: {self._log_tail()}"
                )
            time.sleep(POLL_INTERVAL_S)

    def stop(self, *, timeout_s: float) -> None:
        """End it gracefully, by force after the timeout; nothing happens if it is not running."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as in a crash; nothing happens if it is not running."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def release(self) -> int:
        """Let the process outlive this one and forget it; its pid."""
        pid = self.pid
        if self._process is not None:
            # Popen warns of a child that is dropped alive unless it has a return code.
            self._process.returncode = 0
        self._process = None
        return pid

    def _log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:].strip()
