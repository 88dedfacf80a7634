"""The vector index on a Qdrant server or cluster (1.18 or later), or on the client's local mode."""

from __future__ import annotations

from contextlib import closing

from qdrant_client import QdrantClient

from sightline.engine.errors import NotFound
from sightline.engine.records import GenerationSpec
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.generations import open_serving
from sightline.engine.vector_index.point_index import PointIndex
from sightline.engine.vector_index.qdrant.client import QdrantCalls, client_of
from sightline.engine.vector_index.qdrant.collections import QdrantCollections
from sightline.engine.vector_index.qdrant.points import QdrantPoints


class QdrantVectorIndex(PointIndex):
    """`VectorIndex` on one collection; any number of processes may have it open.

    The server applies the fence itself, point by point and on every replica, so concurrent
    writers end in the highest fence; `QdrantPoints` sees to it that replicas do so alike.
    """

    @classmethod
    def open(
        cls, settings: IndexSettings, spec: GenerationSpec, *, client: QdrantClient | None = None
    ) -> QdrantVectorIndex:
        """The generation that serves, made from `spec` where there is none.

        `client` replaces the one that the settings describe; with `QdrantClient(":memory:")` it
        is the client's local mode, for tests.

        Raises:
            GenerationMismatch: another model made it.
            PartUnavailable: the server did not answer.
        """
        with closing(QdrantGenerations.of(settings, client=client)) as generations:
            return open_serving(generations, spec)


class QdrantGenerations(QdrantCollections):
    """The generations of one server, opened as indexes; see `generations.Generations`."""

    @classmethod
    def of(
        cls, settings: IndexSettings, *, client: QdrantClient | None = None
    ) -> QdrantGenerations:
        """On the server of the settings, or on a client given instead."""
        serial = client is not None and client.init_options.get("location") == ":memory:"
        return cls(QdrantCalls.through(client or client_of(settings), serial=serial), settings)

    def open(self, name: str) -> QdrantVectorIndex:
        """Open an existing one. Raises `NotFound`, `PartUnavailable`."""
        spec = self.spec(name)
        if spec is None:
            raise NotFound(f"index: no generation {name!r} on the server")
        replication = self.prepare(name)
        points = QdrantPoints(self.calls.share(), self.collection(name), spec, replication)
        return QdrantVectorIndex(points, spec)
