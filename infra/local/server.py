"""What the servers that are started on this machine have in common: data, log, start and end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Self

from sightline.infra.local.server_process import ServerProcess

PROBE_TIMEOUT_S = 2.0


class LocalServer(ABC):
    """A server with its own data directory; the same object starts again on the same data and port.

    Args:
        name: for messages.
        data_directory: of the server alone; its log is kept there as `server.log`.
        stop_timeout_s: for a graceful end; then it is ended by force.
    """

    def __init__(self, name: str, data_directory: Path, *, stop_timeout_s: float) -> None:
        self._directory = data_directory.resolve()
        self._stop_timeout_s = stop_timeout_s
        self._server = ServerProcess(name, self.log_file)

    @abstractmethod
    def start(self) -> Self:
        """Start the server; returns when it answers."""

    @property
    def log_file(self) -> Path:
        """The file that takes the server's output, standard error included."""
        return self._directory / "server.log"

    @property
    def pid(self) -> int:
        """The id of the server's process, which must be running."""
        return self._server.pid

    @property
    def running(self) -> bool:
        """Whether the server's process has been started and not ended."""
        return self._server.running

    def stop(self) -> None:
        """End the server gracefully; a repeat does nothing."""
        self._server.stop(timeout_s=self._stop_timeout_s)

    def kill(self) -> None:
        """Kills the server as a crash would, with SIGKILL."""
        self._server.kill()

    def release(self) -> int:
        """Let the server outlive this process and forget it; its pid."""
        return self._server.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def http_status(address: str, path: str) -> int | None:
    """The status by which a server answers; None: nobody does."""
    with closing(HTTPConnection(address, timeout=PROBE_TIMEOUT_S)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return None
