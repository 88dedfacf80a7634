"""One broker and one store a run: started by the first of its workers that asks, see `conftest`.

A broker of each worker's own would cost 4 CPU-seconds to start, and as much again in the minutes in
which nobody asks it.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TextIO, TypeVar

from sightline.infra.local.daemon import Daemon
from sightline.infra.local.free_ports import free_port
from sightline.infra.local.server import LocalServer

Server = TypeVar("Server", bound=LocalServer)


class SharedServer(Generic[Server]):
    """A server that several processes use: the first starts it, the last who leaves stops it.

    One that ends without leaving is not counted any more, since its lock goes with it.

    Args:
        folder: for the server alone; whoever names the same one shares it.
        make: the server, not yet started, from a folder for its data and a port.
    """

    def __init__(self, folder: Path, make: Callable[[Path, int], Server]) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        data = folder / "data"
        self._daemon = Daemon(folder / "pid", data_directory=data)
        self._using: TextIO | None = None
        with self._alone():
            self.server = make(data, self._port())

    def use(self) -> None:
        """Start it unless it runs; a repeat starts it again if it is gone."""
        with self._alone():
            if not self._daemon.running:
                self._daemon.record(self.server.start().release())
            if self._using is None:
                self._using = (self._folder / "users.lock").open("w")
                fcntl.flock(self._using, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Stop it unless another process uses it; a repeat does nothing."""
        if self._using is None:
            return
        with self._alone(), self._using, suppress(BlockingIOError):
            fcntl.flock(self._using, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._daemon.stop()
        self._using = None

    def _port(self) -> int:
        told = self._folder / "port"
        if not told.exists():
            told.write_text(str(free_port()))
        return int(told.read_text())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time starts or stops it."""
        with (self._folder / "turn.lock").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield
