"""How a client connects to a Qdrant server again."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.qdrant.client import client_of


def test_a_server_that_is_back_is_found_within_a_second() -> None:
    """By itself gRPC refuses calls for up to two minutes before it tries again."""
    with closing(client_of(IndexSettings(url="http://127.0.0.1:1", grpc_port=1))) as client:
        remote: Any = client._client
        assert remote._grpc_options["grpc.max_reconnect_backoff_ms"] == 1_000
        assert remote._grpc_options["grpc.initial_reconnect_backoff_ms"] == 100
