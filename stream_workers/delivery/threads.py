"""The threads of a worker: started together, the first unexpected failure stops them all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sightline.stream_workers.delivery.retries import GaveUp

_log = logging.getLogger(__name__)


class Crew:
    """Threads that repeat a turn until told to stop; `failure` keeps the first one's reason."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self.failed = threading.Event()
        self.failure: BaseException | None = None

    def start(self, name: str, turn: Callable[[], object], *, threads: int = 1) -> None:
        """Run `turn` again and again, in so many threads."""
        for number in range(threads):
            self.spawn(f"{name}-{number}", lambda: self._repeat(turn))

    def spawn(self, name: str, body: Callable[[], None]) -> threading.Thread:
        """Run `body` once, in a thread of its own."""
        thread = threading.Thread(target=self._guard, args=(body,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def stop(self, timeout_s: float) -> None:
        """Ask all to end and wait that long for each."""
        self.stopping.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout_s)

    def _repeat(self, turn: Callable[[], object]) -> None:
        while not self.stopping.is_set():
            turn()

    def _guard(self, body: Callable[[], None]) -> None:
        try:
            body()
        except GaveUp:
            return
        except BaseException as error:  # noqa: BLE001  a thread's death must stop the worker
            with self._lock:
                self.failure = self.failure or error
            if not self.stopping.is_set():
                _log.error("a stage failed, the worker stops", exc_info=error)
            self.failed.set()
