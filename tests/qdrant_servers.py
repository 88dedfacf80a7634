"""Qdrant servers for tests: one that is given, or processes of a binary that is given."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import ExitStack
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from sightline.infra.local.free_ports import LOOPBACK, free_port
from sightline.infra.local.server import LocalServer, http_status
from tests.patience import patient
from tests.waiting import eventually

URL, GRPC_PORT, BINARY = "QDRANT_URL", "QDRANT_GRPC_PORT", "QDRANT_BINARY"
IS_GIVEN = URL in os.environ or BINARY in os.environ
needs_server = pytest.mark.skipif(
    not IS_GIVEN,
    reason=f"neither {URL} nor {BINARY} is set: the embedded index has one owner process",
)
needs_nodes = pytest.mark.skipif(
    BINARY not in os.environ, reason=f"{BINARY} is not set: no nodes of a cluster can be started"
)
START_TIMEOUT_S, STOP_TIMEOUT_S, PROBE_TIMEOUT_S = 60.0, 15.0, 2.0


class LocalQdrant(LocalServer):
    """One Qdrant server; the same object starts again on the same data and ports.

    Args:
        data_directory: of the server alone.
        first: a node of the cluster that this one joins; none: it is the first of one, or alone.
        cluster: whether others may join it.
    """

    def __init__(
        self, data_directory: Path, first: LocalQdrant | None = None, *, cluster: bool = False
    ) -> None:
        super().__init__("Qdrant", data_directory, stop_timeout_s=STOP_TIMEOUT_S)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.port, self.grpc_port, self._peer_port = free_port(), free_port(), free_port()
        self._first = first
        self._cluster = cluster or first is not None

    @property
    def url(self) -> str:
        """Where it answers REST calls."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def _peer_uri(self) -> str:
        return f"http://{LOOPBACK}:{self._peer_port}"

    def start(self) -> Self:
        """Start it; returns when it answers at all, which is before it has caught up."""
        command = [os.environ[BINARY], "--disable-telemetry"]
        if self._cluster:
            command += ["--uri", self._peer_uri]
        if self._first is not None:
            command += ["--bootstrap", self._first._peer_uri]
        self._server.start(
            command,
            lambda: self._status("/") == HTTPStatus.OK,
            port=self.port,
            environment=self._environment(),
            timeout_s=patient(START_TIMEOUT_S),
        )
        return self

    def is_ready(self) -> bool:
        """Whether it has said since its start that it had caught up and its shards were sound."""
        return self._status("/readyz") == HTTPStatus.OK

    def knows_all_active(self) -> bool:
        """Whether it calls every replica of every collection active, its own and the others'."""
        try:
            with httpx.Client(base_url=self.url, timeout=PROBE_TIMEOUT_S) as node:
                names = [one["name"] for one in _result(node, "/collections")["collections"]]
                told = [_result(node, f"/collections/{name}/cluster") for name in names]
        except httpx.HTTPError:
            return False
        shards = [one for each in told for one in each["local_shards"] + each["remote_shards"]]
        return all(one["state"] == "Active" for one in shards)

    def _status(self, path: str) -> int | None:
        return http_status(f"{LOOPBACK}:{self.port}", path)

    def _environment(self) -> dict[str, str]:
        values: dict[str, object] = {
            "SERVICE__HOST": LOOPBACK,
            "SERVICE__HTTP_PORT": self.port,
            "SERVICE__GRPC_PORT": self.grpc_port,
            "CLUSTER__ENABLED": str(self._cluster).lower(),
            "CLUSTER__P2P__PORT": self._peer_port,
            "STORAGE__STORAGE_PATH": self._directory / "storage",
            "STORAGE__SNAPSHOTS_PATH": self._directory / "snapshots",
            "LOG_LEVEL": "INFO",
        }
        said = {f"QDRANT__{name}": str(value) for name, value in values.items()}
        return said | {"QDRANT_INIT_FILE_PATH": str(self._directory / "initialized")}


def _result(node: httpx.Client, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = node.get(path).raise_for_status().json()
    result: dict[str, Any] = answer["result"]
    return result


@lru_cache(maxsize=1)
def server() -> tuple[str, int]:
    """URL and gRPC port of the server that is given, or of one of this test session."""
    if URL in os.environ:
        return os.environ[URL], int(os.environ.get(GRPC_PORT, "6334"))
    directory = Path(tempfile.mkdtemp(prefix="qdrant-"))
    started = LocalQdrant(directory).start()

    def end() -> None:
        started.kill()
        shutil.rmtree(directory, ignore_errors=True)

    atexit.register(end)
    return started.url, started.grpc_port


def cluster(directory: Path, count: int = 3) -> list[LocalQdrant]:
    """Nodes of one cluster, which know of each other; the caller stops them."""
    nodes = [LocalQdrant(directory / "node-0", cluster=True)]
    nodes += [LocalQdrant(directory / f"node-{n}", nodes[0]) for n in range(1, count)]
    with ExitStack() as ending:
        for node in nodes:
            ending.callback(node.kill)
            node.start()
            eventually(node.is_ready, timeout_s=START_TIMEOUT_S, reason="a node that is ready")
        ending.pop_all()
    return nodes
