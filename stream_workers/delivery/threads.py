"""The threads of a worker: started together, the first unexpected failure stops them all."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable

from sightline.engine.ports import Clock
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

    def start(self, name: str, turn: Callable[[], None], *, threads: int = 1) -> None:
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

    def _repeat(self, turn: Callable[[], None]) -> None:
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


class Later:
    """Things to do after a while, so that no thread sleeps on one item's behalf."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do it once, that much later, on the thread that calls `turn`."""
        with self._changed:
            due = self._clock.monotonic() + delay_s
            heapq.heappush(self._heap, (due, next(self._order), action))
            self._changed.notify_all()

    def hurry(self) -> None:
        """What was waited for is back: everything is due now."""
        with self._changed:
            self._heap = [(0.0, order, action) for _, order, action in self._heap]
            heapq.heapify(self._heap)
            self._changed.notify_all()

    def turn(self, longest_s: float = 0.1) -> None:
        """Do what is due; wait up to `longest_s` for the next to become so."""
        for action in self._due(longest_s):
            action()

    def _due(self, longest_s: float) -> list[Callable[[], None]]:
        with self._changed:
            wait_s = longest_s
            if self._heap:
                wait_s = min(longest_s, self._heap[0][0] - self._clock.monotonic())
            if wait_s > 0:
                self._changed.wait(wait_s)
            due = []
            while self._heap and self._heap[0][0] <= self._clock.monotonic():
                due.append(heapq.heappop(self._heap)[2])
            return due
