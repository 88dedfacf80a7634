"""A bare FastAPI route that returns given bytes: the least that an answer over HTTP costs."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection

from fastapi import FastAPI, Request
from starlette.responses import Response

from benchmarks.processes import fresh
from sightline.infra.processes.http_server import bind, serve, url_of

PATH = "/bare"


@contextmanager
def bare_route(body: bytes) -> Iterator[str]:
    """Its base URL; the server is a process of its own, as a node is."""
    ours, theirs = multiprocessing.Pipe()
    child = fresh().Process(target=_serve, args=(body, theirs))
    child.start()
    try:
        yield str(ours.recv())
    finally:
        ours.send("stop")
        child.join()


def bare_app(body: bytes) -> FastAPI:
    """Takes any body, answers with this one."""
    app = FastAPI()

    @app.post(PATH)
    async def bare(request: Request) -> Response:
        await request.body()
        return Response(body, media_type="application/json")

    return app


def _serve(body: bytes, parent: Connection) -> None:
    stop = threading.Event()

    def wait() -> None:
        parent.recv()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    with closing(bind("127.0.0.1", 0)) as listener:
        serve(bare_app(body), listener, stop, ready=lambda: parent.send(url_of(listener)))
