"""A server of a whole run: started by the first who asks, stopped by the last who leaves."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Self

from sightline.infra.local.server import LocalServer
from tests.shared_servers import SharedServer
from tests.waiting import eventually


class Tail(LocalServer):
    """Stands for a server: `tail` follows its own log until it is told to end."""

    def __init__(self, data: Path, port: int) -> None:
        super().__init__("tail", data, stop_timeout_s=5)
        self.port = port

    def start(self) -> Self:
        """See `LocalServer.start`."""
        self._directory.mkdir(exist_ok=True)
        words = ["tail", "-f", str(self.log_file)]
        self._server.start(words, self._named, port=self.port, environment={}, timeout_s=5)
        return self

    def _named(self) -> bool:
        """It can be known by its command line, which a process lacks for an instant of `exec`."""
        return bool(Path("/proc", str(self._server.pid), "cmdline").read_bytes())


def running(folder: Path) -> int | None:
    """The process of what is shared there, if one was started and not stopped."""
    told = folder / "pid"
    return int(told.read_text()) if told.exists() else None


def test_the_first_starts_it_and_the_last_stops_it(tmp_path: Path) -> None:
    """Two users of a folder have one process and one port; who leaves alone ends nothing."""
    one, two = (SharedServer(tmp_path / "shared", Tail) for _ in range(2))
    assert one.server.port == two.server.port
    assert running(tmp_path / "shared") is None
    one.use()
    started = running(tmp_path / "shared")
    two.use()
    two.use()
    assert running(tmp_path / "shared") == started
    one.leave()
    one.leave()
    assert running(tmp_path / "shared") == started
    assert started is not None
    assert Path("/proc", str(started), "cmdline").read_bytes()
    two.leave()
    assert running(tmp_path / "shared") is None
    assert Path("/proc", str(started), "cmdline").read_bytes() == b""


def test_it_is_started_again_for_who_comes_later(tmp_path: Path) -> None:
    """After the last has left, and after a crash under somebody's use."""
    shared = SharedServer(tmp_path / "shared", Tail)
    shared.use()
    left = running(tmp_path / "shared")
    shared.leave()
    shared.use()
    crashed = running(tmp_path / "shared")
    assert crashed not in (left, None)
    os.kill(crashed or 0, signal.SIGKILL)
    eventually(lambda: Path("/proc", str(crashed), "cmdline").read_bytes() == b"")
    shared.use()
    assert running(tmp_path / "shared") not in (crashed, None)
    shared.leave()
