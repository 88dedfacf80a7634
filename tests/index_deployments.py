"""Where a vector index can live: in a directory, in memory, in the client, on a server."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import qdrant_edge as edge
from qdrant_client import QdrantClient

from sightline.engine.ports import VectorIndex
from sightline.engine.records import GenerationSpec
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge.directory import OwnedDirectory
from sightline.engine.vector_index.edge.index import EdgeGenerations, EdgeVectorIndex
from sightline.engine.vector_index.generations import Generations
from sightline.engine.vector_index.memory.generations import MemoryGenerations
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.engine.vector_index.payload import point_id
from sightline.engine.vector_index.qdrant.client import client_of
from sightline.engine.vector_index.qdrant.index import QdrantGenerations, QdrantVectorIndex
from tests.indexed_images import SPEC
from tests.qdrant_servers import IS_GIVEN, server

Damage = Mapping[str, Mapping[str, Any]]
"""By image: the fields of its point that are overwritten."""


class Deployment(Protocol):
    """Somewhere an index can be opened, closed and opened again."""

    def open(self, spec: GenerationSpec = SPEC) -> VectorIndex:
        """The generation that serves."""

    def generations(self) -> Generations[Any]:
        """All generations."""


class Embedded:
    """The embedded engine in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings = IndexSettings(directory=directory)

    def open(self, spec: GenerationSpec = SPEC) -> EdgeVectorIndex:
        """The generation that serves."""
        return EdgeVectorIndex.open(self.directory, spec, self.settings)

    def generations(self) -> EdgeGenerations:
        """All generations."""
        return EdgeGenerations(self.directory, self.settings)

    def damaged(self, index: VectorIndex, damage: Damage) -> EdgeVectorIndex:
        """The index again, once what it holds of some images has been damaged on the disk."""
        index.close()
        owned = OwnedDirectory(self.directory / SPEC.name, reserve_bytes=0)
        with contextlib.ExitStack() as ending:
            ending.callback(owned.release)
            shard = edge.EdgeShard.load(str(owned.live()))
            for image_id, fields in damage.items():
                point = edge.Filter(must=[edge.HasIdCondition({point_id(image_id)})])
                shard.update(edge.UpdateOperation.set_payload_by_filter(point, dict(fields)))
            shard.flush()
            shard.close()
        return self.open()


class Server:
    """A Qdrant server, or the local mode of its client where one is given."""

    def __init__(self, settings: IndexSettings, client: QdrantClient | None = None) -> None:
        self.settings = settings
        self.client = client

    def open(self, spec: GenerationSpec = SPEC) -> QdrantVectorIndex:
        """The generation that serves."""
        return QdrantVectorIndex.open(self.settings, spec, client=self.client)

    def generations(self) -> QdrantGenerations:
        """All generations."""
        return QdrantGenerations.of(self.settings, client=self.client)

    def damaged(self, index: VectorIndex, damage: Damage) -> VectorIndex:
        """The index, once what it holds of some images has been damaged on the server."""
        client = self.client or client_of(self.settings)
        name = self.generations().collection(SPEC.name)
        for image_id, fields in damage.items():
            client.set_payload(name, dict(fields), points=[point_id(image_id)], wait=True)
        return index


class Memory:
    """Generations in memory."""

    def __init__(self) -> None:
        self.made = MemoryGenerations()

    def open(self, spec: GenerationSpec = SPEC) -> MemoryVectorIndex:
        """The generation that serves."""
        return MemoryVectorIndex.open(self.made, spec)

    def generations(self) -> MemoryGenerations:
        """All generations."""
        return self.made


def _memory(tmp_path: Path) -> Iterator[Memory]:
    del tmp_path
    yield Memory()


def _embedded(tmp_path: Path) -> Iterator[Embedded]:
    yield Embedded(tmp_path / "index")


def _local(tmp_path: Path) -> Iterator[Server]:
    del tmp_path
    client = QdrantClient(":memory:")
    yield Server(IndexSettings(), client)
    client.close()


def _server(tmp_path: Path, *, over_grpc: bool = True) -> Iterator[Server]:
    del tmp_path
    url, grpc_port = server()
    settings = IndexSettings(
        url=url,
        grpc_port=grpc_port if over_grpc else None,
        collection_prefix=f"test-{uuid.uuid4().hex[:12]}",
    )
    yield Server(settings)
    with closing(QdrantGenerations.of(settings)) as generations:
        for name in generations.names():
            generations.remove(name)


def _server_over_rest(tmp_path: Path) -> Iterator[Server]:
    yield from _server(tmp_path, over_grpc=False)


DEPLOYMENTS: dict[str, Callable[[Path], Iterator[Deployment]]] = {
    "embedded": _embedded,
    "local-mode": _local,
    "memory": _memory,
}
if IS_GIVEN:
    DEPLOYMENTS |= {"server-grpc": _server, "server-rest": _server_over_rest}
