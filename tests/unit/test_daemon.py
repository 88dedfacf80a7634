"""Daemons are known by pid file and command line, and only our own are stopped."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline.infra.local import free_ports
from sightline.infra.local.daemon import Daemon
from sightline.infra.local.free_ports import HIGHEST, LOOPBACK, LOWEST, free_port, is_free
from tests.waiting import eventually

SLEEPER = "import sys, time\nprint('up', flush=True)\ntime.sleep(600)"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose command line names the data directory."""
    command = [sys.executable, "-c", SLEEPER, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_recorded_process_is_stopped(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """`stop` ends the process, also while nobody reaps it, removes the file and says so."""
    daemon = Daemon(tmp_path / "it.pid", data_directory=tmp_path / "data")
    assert not daemon.running
    daemon.record(sleeper.pid)
    assert daemon.running
    assert daemon.stop()
    assert eventually(lambda: sleeper.poll() is not None)
    assert not (tmp_path / "it.pid").exists()
    assert not daemon.stop()


def test_a_strangers_process_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    """A pid that was given to another process since is not stopped, only forgotten."""
    daemon = Daemon(tmp_path / "it.pid", data_directory=tmp_path / "other")
    daemon.record(sleeper.pid)
    assert not daemon.running
    assert not daemon.stop()
    assert sleeper.poll() is None


@pytest.mark.parametrize("text", ["", "no number", str(2**22 + 1)])
def test_a_useless_pid_file_means_not_running(tmp_path: Path, text: str) -> None:
    """Empty, torn and outdated files are no reason to fail."""
    (tmp_path / "it.pid").write_text(text)
    daemon = Daemon(tmp_path / "it.pid", data_directory=tmp_path)
    assert not daemon.running
    assert not daemon.stop()


def test_free_ports_are_free_and_below_the_ephemeral_range() -> None:
    """A port is handed out only while nobody listens on it."""
    port = free_port()
    assert LOWEST <= port < HIGHEST
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen()
        assert not is_free(port)
    assert is_free(port)


def test_a_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To one process, for as long as it lives: what it starts there may be down for a moment."""
    port = free_port()
    monkeypatch.setattr(free_ports, "LOWEST", port)
    monkeypatch.setattr(free_ports, "HIGHEST", port + 1)
    with pytest.raises(OSError, match="no free port"):
        free_port()
    assert is_free(port)
