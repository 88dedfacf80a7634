"""Processes that begin with everything imported: forked from one that imported it once a session.

For tests that start many of a kind and look at what they do, not at how they begin: the imports of
a node or of a label stage take a second of CPU each time.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock

PRELOADED = ["tests.imported"]
_POLL_S = 0.02


def start_for_all() -> None:
    """Start what forks them for this process and those that it forks: two CPU-seconds to import.

    They cannot wait for what is no child of theirs, so that they must not look whether it lives.
    """
    forkserver.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
    setattr(forkserver._forkserver, "ensure_running", lambda: None)  # noqa: B010


class Forked:
    """A function that runs in a process of its own, with the part of `Popen` that tests use.

    Args:
        work: a module's function; its end is the process's.
        argument: what it is given.
        log: what it says is appended here.
        errors: what it says to standard error; none: in the log, too.
        environment: all of its variables; none: those that the tests began with.
    """

    def __init__(
        self,
        work: Callable[[str], object],
        argument: str,
        log: Path,
        *,
        errors: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        log.touch()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        given = (work, argument, str(log), str(errors or log), environment and dict(environment))
        self._process = context.Process(target=_run, args=given)
        self._process.start()
        self._asking = Lock()

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative where a signal ended it; None while it runs."""
        with self._asking:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end: the exit code.

        Raises:
            subprocess.TimeoutExpired: it runs still.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (ended := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
            wait([self._process.sentinel], _POLL_S)
        return ended

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs still."""
        with self._asking:
            if self._process.exitcode is None:
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        with self._asking:
            self._process.kill()

    def terminate(self) -> None:
        """Asks it to end, by SIGTERM."""
        with self._asking:
            self._process.terminate()


def _run(
    work: Callable[[str], object],
    argument: str,
    log: str,
    errors: str,
    environment: Mapping[str, str] | None,
) -> None:
    for path, stream in ((log, 1), (errors, 2)):
        written = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(written, stream)
        os.close(written)
    if environment is not None:
        os.environ.clear()
        os.environ.update(environment)
    work(argument)
