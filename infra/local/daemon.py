"""A server that outlives the process that started it, known by its pid file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

STOP_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.05


class Daemon:
    """One daemon, recognised by pid file and command line.

    The pid file alone proves nothing: the pid may have been given to another process since, so a
    process counts only if its command line names the data directory.

    Args:
        pid_file: written by `record`, removed by `stop`.
        data_directory: what the command line must name.
    """

    def __init__(self, pid_file: Path, *, data_directory: Path) -> None:
        self._pid_file = pid_file
        self._data = str(data_directory.resolve())

    @property
    def running(self) -> bool:
        """Whether the recorded process lives and is ours."""
        pid = self._recorded()
        return pid is not None and self._data in _command_line(pid)

    def record(self, pid: int) -> None:
        """Remember the process; the file is replaced at once or not at all."""
        fresh = self._pid_file.with_suffix(".new")
        fresh.write_text(f"{pid}\n")
        fresh.replace(self._pid_file)

    def stop(self) -> bool:
        """End the process gracefully, by force after a while; whether it ran."""
        pid = self._recorded()
        ran = pid is not None and self.running
        if pid is not None and ran:
            os.kill(pid, signal.SIGTERM)
            self._wait_or_kill(pid)
        self._pid_file.unlink(missing_ok=True)
        return ran

    def _wait_or_kill(self, pid: int) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.running:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(POLL_INTERVAL_S)

    def _recorded(self) -> int | None:
        try:
            return int(self._pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return None


def _command_line(pid: int) -> str:
    """Reads a living process's command line; empty for one that has ended, reaped or not."""
    linux = Path(f"/proc/{pid}/cmdline")
    if linux.parent.parent.joinpath("self").exists():
        try:
            return linux.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    listed = subprocess.run(  # noqa: S603 - fixed command line
        ["ps", "-p", str(pid), "-o", "command="],  # noqa: S607 - wherever the system keeps it
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout
