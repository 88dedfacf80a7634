"""An app on a free port of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from sightline.engine.settings import ApiSettings
from sightline.infra.processes.http_server import bind, serve, url_of
from tests.patience import patient


@contextmanager
def serving(app: FastAPI, settings: ApiSettings | None = None) -> Iterator[str]:
    """Its address; the app has stopped when the block ends."""
    listener, stop, ready = bind("127.0.0.1", 0), threading.Event(), threading.Event()
    more = {"ready": ready.set, "settings": settings}
    thread = threading.Thread(target=serve, args=(app, listener, stop), kwargs=more)
    thread.start()
    try:
        assert ready.wait(patient(30))
        yield url_of(listener)
    finally:
        stop.set()
        thread.join()
        listener.close()
