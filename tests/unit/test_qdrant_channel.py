"""How a client connects to a Qdrant server again."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.qdrant.client import client_of


def test_a_server_that_is_back_is_found_within_a_second() -> None:
    """By itself gRPC refuses calls for up to two minutes before it tries again."""
    with closing(client_of(IndexSettings(url="http://127.0.0.1:1", grpc_port=1))) as client:
        remote: Any = client._client
        assert remote._grpc_options["grpc.max_reconnect_backoff_ms"] == 1_000
        assert remote._grpc_options["grpc.initial_reconnect_backoff_ms"] == 100


def test_an_authority_that_cannot_be_read_is_told_by_its_setting(tmp_path: Path) -> None:
    """A pipe is waited for by nobody."""
    os.mkfifo(tmp_path / "pipe.pem")
    for name in ("pipe.pem", "none.pem", "."):
        with pytest.raises(SettingsInvalid, match=r"index\.ca_file"):
            client_of(IndexSettings(url="https://127.0.0.1:1", ca_file=tmp_path / name))
