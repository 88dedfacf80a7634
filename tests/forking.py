"""Processes that begin with everything imported: forked from one that imported it once a session.

For tests that start many of a kind and look at what they do, not at how they begin: an import of
Faust and what it drags along takes a second of CPU each time.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

_IMPORTED = ("pytest", "tests.label_worker")
_STREAMS = (1, 2)
_POLL_S = 0.02


class Forked:
    """A function that runs in a process of its own, with the part of `Popen` that tests use.

    Args:
        work: a module's function; its end is the process's.
        argument: what it is given.
        log: what it says is written here.
    """

    def __init__(self, work: Callable[[str], None], argument: str, log: Path) -> None:
        log.touch()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_IMPORTED))
        self._process = context.Process(target=_run, args=(work, argument, str(log)))
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
                raise subprocess.TimeoutExpired(str(self._process.name), timeout or 0.0)
            time.sleep(_POLL_S)
        return ended

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        with self._asking:
            self._process.kill()

    def terminate(self) -> None:
        """Asks it to end, by SIGTERM."""
        with self._asking:
            self._process.terminate()


def _run(work: Callable[[str], None], argument: str, log: str) -> None:
    written = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in _STREAMS:
        os.dup2(written, stream)
    os.close(written)
    work(argument)
