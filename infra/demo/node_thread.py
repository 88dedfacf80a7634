"""The demo's embedded stack, running beside it in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sightline.engine.errors import SightlineError
from sightline.engine.settings import Settings
from sightline.infra.processes.node import run_node

START_TIMEOUT_S = 600.0
"""A first start converts the model, which takes 10 s of a quiet core; a bound for what hangs."""


class DemoFailed(SightlineError):
    """The demo did not do what it promises."""


class NodeThread:
    """The stack, running beside the demo; it outlives a Ctrl-C until the demo has let go of it."""

    def __init__(self, settings: Settings, *, failed: Callable[[], object]) -> None:
        self._settings = settings
        self._failed = failed
        self._stop = threading.Event()
        self._url: str | None = None
        self._failure: BaseException | None = None
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node")

    def start(self) -> str:
        """Start it; the API's address once it answers."""
        self._thread.start()
        self._changed.wait(START_TIMEOUT_S)
        if self._url is None:
            raise self._failure or DemoFailed(f"not ready after {START_TIMEOUT_S:.0f} s")
        return self._url

    def stop(self) -> None:
        """End it; its failure, if it had one, is ours."""
        self._stop.set()
        self._thread.join()
        if self._failure is not None and self._url is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            run_node(self._settings, self._stop, announce=self._announce, log_level="WARNING")
        except BaseException as error:  # noqa: BLE001 - raised again by start() or join()
            self._failure = error
            self._failed()
        finally:
            self._changed.set()

    def _announce(self, url: str) -> None:
        self._url = url
        self._changed.set()
