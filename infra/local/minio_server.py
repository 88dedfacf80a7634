"""One MinIO server on this machine, without Docker: for tests and `make up`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Self

from sightline.infra.local.free_ports import LOOPBACK, free_port
from sightline.infra.local.minio_binary import minio_binary
from sightline.infra.local.server import LocalServer, http_status
from sightline.infra.local.server_process import POLL_INTERVAL_S

START_TIMEOUT_S = 600.0
"""1 s on a quiet machine, measured; a bound for what hangs, not for what is slow."""
STOP_TIMEOUT_S = 15.0
TARGETS_TIMEOUT_S = 5.0


class LocalMinio(LocalServer):
    """A server with its own data directory; the same object starts again on the same data and port.

    Args:
        data_directory: of the server alone; its log is kept there as `server.log`.
        port: of the S3 API; 0: a free one.
        access_key: of the root user; none: a random pair of keys.
        secret_key: of the root user; none: a random one.
        notify: Kafka targets for bucket notifications, name → (bootstrap servers, topic). Bind a
            bucket to one with the ARN that `target()` gives. What the broker does not take is
            queued on disk and sent later; the queue is emptied every 3 s, measured.
    """

    def __init__(
        self,
        data_directory: Path,
        port: int = 0,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        notify: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        super().__init__("MinIO", data_directory, stop_timeout_s=STOP_TIMEOUT_S)
        self._port = port or free_port()
        self.access_key = access_key or secrets.token_hex(8)
        self.secret_key = secret_key or secrets.token_hex(20)
        self._notify = dict(notify or {})

    @property
    def endpoint(self) -> str:
        """The address of the S3 API, `host:port`."""
        return f"{LOOPBACK}:{self._port}"

    @staticmethod
    def target(name: str) -> str:
        """The ARN of the notification target `name`, for a bucket's notification settings."""
        return f"arn:minio:sqs::{name.upper()}:kafka"

    def start(self) -> Self:
        """Start the server; returns when it answers and its notification targets are loaded.

        Targets whose broker is down are waited for a few seconds only.

        Raises:
            ToolMissing: the server is not here and cannot be built.
            ServerDidNotStart: it ended or did not answer in time.
        """
        data = self._directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        log_offset = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._server.start(
            [minio_binary(), "server", data, "--address", self.endpoint],
            self._answers,
            port=self._port,
            environment=self._environment(),
            timeout_s=START_TIMEOUT_S,
        )
        self._await_targets(log_offset)
        return self

    def _answers(self) -> bool:
        # "ready" comes before the S3 API is: until then it answers 503 and asks clients to come
        # back in 60 s, which they do. Initialised, it denies anonymous requests.
        ready = http_status(self.endpoint, "/minio/health/ready") == HTTPStatus.OK
        return ready and http_status(self.endpoint, "/") == HTTPStatus.FORBIDDEN

    def _await_targets(self, log_offset: int) -> None:
        """Targets are loaded after all else; without their broker that takes for ever."""
        deadline = time.monotonic() + TARGETS_TIMEOUT_S
        while self._notify and time.monotonic() < deadline:
            log = self.log_file.read_bytes()[log_offset:].decode(errors="replace")
            if all(self.target(name) in log for name in self._notify):
                return
            time.sleep(POLL_INTERVAL_S)

    def _environment(self) -> dict[str, str]:
        environment = {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            # In the user's own home it makes a folder, and where a certificate lies, it speaks TLS.
            "HOME": str(self._directory),
        }
        for name, (brokers, topic) in self._notify.items():
            environment |= self._target_environment(name.upper(), brokers, topic)
        return environment

    def _target_environment(self, name: str, brokers: str, topic: str) -> dict[str, str]:
        queue = self._directory / "notifications" / name
        queue.mkdir(parents=True, exist_ok=True)
        return {
            f"MINIO_NOTIFY_KAFKA_ENABLE_{name}": "on",
            f"MINIO_NOTIFY_KAFKA_BROKERS_{name}": brokers,
            f"MINIO_NOTIFY_KAFKA_TOPIC_{name}": topic,
            f"MINIO_NOTIFY_KAFKA_QUEUE_DIR_{name}": str(queue),
        }
