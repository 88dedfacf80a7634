"""What only the server adapter has: a network that fails, and many threads on one client."""

from __future__ import annotations

import socket
from typing import Any

import grpc
import httpx
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import UnexpectedResponse

from sightline.engine.errors import Overloaded, Part, PartUnavailable
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.payload import KEYWORDS, NUMBERS, SEARCHABLE
from sightline.engine.vector_index.qdrant.client import exact_numbers, qdrant_errors
from sightline.engine.vector_index.qdrant.index import QdrantGenerations, QdrantVectorIndex
from tests.indexed_images import SPEC, Kind, decision, image


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class IndexedLocally(QdrantClient):
    """The client's local mode, which tells of its payload indexes as a server does."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.made: list[str] = []
        self.known: dict[str, models.PayloadIndexInfo] = {}

    def create_payload_index(self, *place: Any, **_: Any) -> Any:
        """Note the field."""
        _, field, _ = place
        self.made.append(field)
        kind = models.PayloadSchemaType.KEYWORD
        self.known[field] = models.PayloadIndexInfo(data_type=kind, points=0)

    def get_collection(self, collection_name: str, **_: Any) -> models.CollectionInfo:
        """With the fields that have an index."""
        info = super().get_collection(collection_name)
        return info.model_copy(update={"payload_schema": dict(self.known)})


def test_payload_indexes_are_made_where_they_are_missing() -> None:
    """All of a new collection; of an older release's what it did not know; else no call."""
    client = IndexedLocally()
    generations = QdrantGenerations.of(IndexSettings(), client=client)
    generations.create(SPEC)
    assert sorted(client.made) == sorted([*KEYWORDS, *NUMBERS])
    client.made.clear()
    generations.open(SPEC.name).close()
    assert client.made == []
    del client.known["cluster"]
    generations.open(SPEC.name).close()
    assert client.made == ["cluster"]
    generations.close()


def test_an_index_of_an_earlier_release_shows_what_it_showed() -> None:
    """Its points do not say what owner and operator come to; opened once, they do."""
    client = IndexedLocally()
    generations = QdrantGenerations.of(IndexSettings(), client=client)
    generations.create(SPEC)
    index = generations.open(SPEC.name)
    index.apply([image("private", kind=Kind.PRIVATE), image("public"), image("blocked")])
    index.moderate([decision("blocked")])
    client.delete_payload(generations.collection(SPEC.name), [SEARCHABLE], points=models.Filter())
    del client.known[SEARCHABLE]
    assert generations.open(SPEC.name).count(listed_only=True) == 1
    client.delete_payload(generations.collection(SPEC.name), [SEARCHABLE], points=models.Filter())
    assert generations.open(SPEC.name).count(listed_only=True) == 0, "it is filled only once"
    generations.close()


@pytest.mark.parametrize("over_grpc", [True, False])
def test_an_unreachable_server_is_an_unavailable_index(*, over_grpc: bool) -> None:
    """Over gRPC and over REST: transient, and the part is named."""
    port = closed_port()
    settings = IndexSettings(
        url=f"http://127.0.0.1:{port}", grpc_port=port if over_grpc else None, timeout_s=1
    )
    with pytest.raises(PartUnavailable) as raised:
        QdrantVectorIndex.open(settings, SPEC)
    assert raised.value.part is Part.INDEX


@pytest.mark.parametrize("status", [400, 401, 500, 503])
def test_a_refusal_is_transient_and_quotes_the_server(status: int) -> None:
    """Nothing is dead-lettered because a server refuses; the message says why."""
    refusal = UnexpectedResponse(status, "refused", b"the reason", httpx.Headers())
    with pytest.raises(PartUnavailable, match=f"HTTP {status} the reason"), qdrant_errors("search"):
        raise refusal


def test_too_many_requests_are_an_overload() -> None:
    """With the server's own waiting time where it gives one."""
    with pytest.raises(Overloaded) as raised, qdrant_errors("search"):
        raise ResourceExhaustedResponse("slow down", 7)
    assert raised.value.retry_after_s == 7
    with pytest.raises(Overloaded), qdrant_errors("search"):
        raise UnexpectedResponse(429, "refused", b"", httpx.Headers())
    with pytest.raises(PartUnavailable, match="failed"), qdrant_errors("search"):
        raise grpc.RpcError("cut")


def test_long_whole_numbers_are_sent_without_a_fraction() -> None:
    """Over REST the server reads `9007199254740991.0` one too low; texts are nobody's numbers."""
    sent: list[bytes] = []

    def send(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        assert request.headers["content-length"] == str(len(request.content))
        return httpx.Response(200)

    body = r'{"lt":9007199254740991.0,"x":[1.0,1800000000000001.0],"s":"\"9007199254740991.0,"}'
    for content in (body, '{"lt":12.0}'):
        exact_numbers(httpx.Request("PUT", "http://qdrant/points", content=content), send)
    assert sent == [
        rb'{"lt":9007199254740991,"x":[1.0,1800000000000001],"s":"\"9007199254740991.0,"}',
        b'{"lt":12.0}',
    ]
