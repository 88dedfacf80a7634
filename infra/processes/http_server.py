"""Serves an ASGI app until told to stop."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING

import uvicorn

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import ApiSettings
from sightline.infra.processes.connection_places import Places
from sightline.infra.processes.http_connections import BoundedConnection

if TYPE_CHECKING:
    from fastapi import FastAPI

_POLL_S = 0.2
_GRACE_S = 10


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        SettingsInvalid: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP: asyncio switches Nagle's algorithm off only then, and with it on every answer whose
    # head and body are two writes waits for the client's delayed acknowledgement (40 ms, measured).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsInvalid(
            f"cannot listen on {host}:{port} ({error.strerror}): "
            "stop what uses it, or set SIGHTLINE_API__PORT (0 takes any free port)"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where the socket can be reached from this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared only
    return f"http://{host}:{port}"


def serve(
    app: FastAPI,
    listener: socket.socket,
    stop: threading.Event,
    *,
    ready: Callable[[], None],
    settings: ApiSettings | None = None,
) -> None:
    """Serve until `stop` is set.

    Args:
        app: answers.
        listener: what `bind` gave.
        stop: ends it.
        ready: called once requests are answered.
        settings: how many connections, how slow, and whose word on where a request comes from is
            taken; none: the defaults.
    """
    server = uvicorn.Server(_config(app, settings or ApiSettings()))

    def watch() -> None:
        while not server.started and not stop.wait(_POLL_S):
            pass
        if server.started:
            ready()
        stop.wait()
        server.should_exit = True

    watcher = threading.Thread(target=watch, name="http-watch")
    watcher.start()
    try:
        server.run(sockets=[listener])
    finally:
        stop.set()
        watcher.join()


def _config(app: FastAPI, settings: ApiSettings) -> uvicorn.Config:
    connection = partial(
        BoundedConnection,
        places=Places(
            settings.max_connections,
            settings.max_connections_per_address,
            [ip_network(proxy) for proxy in settings.forwarded_allow_ips],
        ),
        head_timeout_s=settings.head_timeout_s,
        answer_timeout_s=settings.body_timeout_s,
    )
    return uvicorn.Config(
        app,
        http=connection,  # type: ignore[arg-type]  # it is called, and that is all
        ws="none",
        proxy_headers=bool(settings.forwarded_allow_ips),
        # uvicorn's own default believes everybody on this machine.
        forwarded_allow_ips=list(settings.forwarded_allow_ips),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
