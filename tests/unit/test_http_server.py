"""The socket that the API is served on."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from sightline.engine.errors import SettingsInvalid
from sightline.infra.processes.http_server import bind, url_of


def test_connections_are_answered_without_nagles_delay() -> None:
    """The listener names TCP, as asyncio sets TCP_NODELAY on nothing else: 40 ms an answer."""
    with closing(bind("127.0.0.1", 0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert url_of(listener).startswith("http://127.0.0.1:")


def test_a_taken_port_is_refused_with_the_setting_to_change() -> None:
    """The message names address and setting."""
    with closing(bind("127.0.0.1", 0)) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(SettingsInvalid, match=f"127.0.0.1:{port}.*SIGHTLINE_API__PORT"):
            bind("127.0.0.1", port)
