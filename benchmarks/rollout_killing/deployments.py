"""Where the story is lived through: parts that can be killed and started again, one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
from pydantic import SecretStr

from sightline.engine.settings import (
    ApiSettings,
    IndexSettings,
    KafkaSettings,
    LabelSettings,
    Mode,
    Settings,
    StoreSettings,
    WorkerSettings,
)
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_server import LocalMinio
from sightline.infra.local.node_process import NodeProcess

_READY_S, _LOOK_S = 120.0, 0.1


class Killable(Protocol):
    """A process, or a server of its own."""

    def start(self) -> object:
        """Start it, again on the same data."""

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""


class WorkerProcess(NodeProcess):
    """One `sightline worker`.

    Args:
        settings: of the child.
        log: what it says is appended here.
    """

    def __init__(self, settings: Settings, log: Path) -> None:
        super().__init__(settings, log, command="worker")

    def _ready(self) -> bool:
        """Nobody asks it anything; it reads a moment later."""
        return True


@dataclass(frozen=True)
class Deployment:
    """Parts that run, and who of them answers people."""

    settings: Settings
    """As a command beside them reads them."""
    servers: Mapping[str, Killable] = field(default_factory=dict)
    """What is not ours: broker, store, index."""
    answering: Mapping[str, NodeProcess] = field(default_factory=dict)
    working: Mapping[str, WorkerProcess] = field(default_factory=dict)
    needed: frozenset[str] = frozenset()
    """Servers without which no search can be answered."""

    @property
    def parts(self) -> Mapping[str, Killable]:
        """Everything that can be killed, by its name."""
        return {**self.servers, **self.answering, **self.working}

    def shut_by(self, victim: str) -> list[str]:
        """The addresses that cannot answer while this part is gone."""
        every = self.answering.values() if victim in self.needed else []
        mine = [self.answering[victim]] if victim in self.answering else []
        return [node.url for node in [*every, *mine]]

    def urls(self) -> list[str]:
        """The addresses of those that answer; returns when all of them call themselves ready."""
        urls = [node.url for node in self.answering.values()]
        deadline = time.monotonic() + _READY_S
        while not all(_is_ready(url) for url in urls):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready: {urls}")
            time.sleep(_LOOK_S)
        return urls

    def stop_ours(self) -> None:
        """Stop what is ours, so that an embedded index can be opened; the servers run on."""
        for node in self.answering.values():
            node.stop()
        for worker in self.working.values():
            worker.stop()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def embedded(folder: Path) -> Iterator[Deployment]:
    """One process that is everything."""
    settings = _settings(folder, Mode.EMBEDDED)
    with NodeProcess(settings, folder / "node.log") as node:
        yield Deployment(settings, answering={"node": node})


@contextmanager
def node_on_services(folder: Path) -> Iterator[Deployment]:
    """One process that holds the index, on a broker and a store."""
    with ExitStack() as running:
        kafka, minio = _services(folder, running)
        settings = _on(kafka, minio, _settings(folder, Mode.SERVICES))
        node = running.enter_context(NodeProcess(settings, folder / "node.log"))
        yield Deployment(settings, {"broker": kafka, "store": minio}, {"node": node})


@contextmanager
def on_index_server(folder: Path) -> Iterator[Deployment]:
    """Two API and two worker processes, on a broker, a store and a server (QDRANT_BINARY)."""
    from tests.qdrant_servers import LocalQdrant  # noqa: PLC0415 - of a checkout, as benchmarks are

    with ExitStack() as running:
        kafka, minio = _services(folder, running)
        qdrant = running.enter_context(LocalQdrant(folder / "qdrant"))
        index = IndexSettings(url=qdrant.url, grpc_port=qdrant.grpc_port)
        base = _settings(folder, Mode.SERVICES).model_copy(
            update={"index": index, "worker": WorkerSettings(metrics_port=None)}
        )
        settings = _on(kafka, minio, base)
        workers, apis = {}, {}
        for number in (1, 2):
            name = f"worker {number}"
            worker = WorkerProcess(settings, folder / f"{name}.log")
            workers[name] = running.enter_context(worker)
        for number in (1, 2):
            name = f"api {number}"
            own = settings.model_copy(update={"data_directory": folder / name})
            node = NodeProcess(own, folder / f"{name}.log", command="api")
            apis[name] = running.enter_context(node)
        servers = {"broker": kafka, "store": minio, "index": qdrant}
        yield Deployment(settings, servers, apis, workers, needed=frozenset({"index"}))


Place = Callable[[Path], AbstractContextManager[Deployment]]
PLACES: dict[str, Place] = {
    "embedded": embedded,
    "services": node_on_services,
    "server": on_index_server,
}


def _settings(folder: Path, mode: Mode) -> Settings:
    return Settings(
        mode=mode,
        data_directory=folder / "data",
        api=ApiSettings(port=0, requests_per_minute=10**9),
        labels=LabelSettings(supervised=False),
    )


def _services(folder: Path, running: ExitStack) -> tuple[LocalKafka, LocalMinio]:
    kafka = running.enter_context(LocalKafka(folder / "kafka"))
    return kafka, running.enter_context(LocalMinio(folder / "minio"))


def _on(kafka: LocalKafka, minio: LocalMinio, settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "kafka": KafkaSettings(
                bootstrap_servers=kafka.bootstrap_servers, partitions=3, session_timeout_s=6.0
            ),
            "store": StoreSettings(
                endpoint=minio.endpoint,
                access_key=minio.access_key,
                secret_key=SecretStr(minio.secret_key),
            ),
        }
    )
