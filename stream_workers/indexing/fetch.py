"""Object references to verified bytes; what is not there yet is looked for again later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from sightline.engine.errors import (
    ObjectChanged,
    ObjectMissing,
    Part,
    RejectReason,
    TooLarge,
    TransientError,
)
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, ObjectStore
from sightline.engine.settings import WorkerSettings
from sightline.schemas.images import ObjectReference
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.retries import Patience
from sightline.stream_workers.delivery.threads import Later
from sightline.stream_workers.indexing.lane_queue import LaneQueue, LaneRoom
from sightline.stream_workers.indexing.task import ImageTask, Rejection

_LONGEST_LOOK_S = 0.5
"""Between two looks for a missing object: well within the grace."""


class ByteBudget:
    """Bounds the bytes held between fetch and decode; a lone item over the bound still passes."""

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self._held = 0
        self._changed = threading.Condition()

    @property
    def held(self) -> int:
        """Bytes that were acquired and not released."""
        with self._changed:
            return self._held

    def acquire(self, size_bytes: int, giving_up: threading.Event) -> bool:
        """Wait until so many bytes fit; False: the worker stops."""
        with self._changed:
            while self._held and self._held + size_bytes > self._size:
                if giving_up.is_set():
                    return False
                self._changed.wait(0.1)
            self._held += size_bytes
            return True

    def release(self, size_bytes: int) -> None:
        """They are decoded, or were never read."""
        with self._changed:
            self._held -= size_bytes
            self._changed.notify_all()


class FetchRoutes(NamedTuple):
    """Where fetched events go."""

    share: Callable[[ImageTask], None]
    """The event said its SHA-256, and the bytes have it."""
    plan: Callable[[ImageTask], None]
    """The event did not say its SHA-256; now it is known, and may be a known one."""
    reject: Callable[[ImageTask, Rejection], None]


def verified(data: bytes, promised: ObjectReference) -> str:
    """The SHA-256 of bytes that are what the event promised.

    Raises:
        ObjectChanged: their size or SHA-256 is another.
    """
    if len(data) != promised.size_bytes:
        raise ObjectChanged(
            f"the object has {len(data)} bytes, its event says {promised.size_bytes}"
        )
    digest = sha256(data).hexdigest()
    if promised.sha256 is not None and digest != promised.sha256:
        raise ObjectChanged("the object's SHA-256 differs from its event's")
    return digest


class Fetcher:
    """One turn reads one object; nothing sleeps here, retries are put off to `later`."""

    def __init__(
        self,
        queue: LaneQueue[ImageTask],
        store: ObjectStore,
        *,
        settings: WorkerSettings,
        max_bytes: int,
        budget: ByteBudget,
        room: LaneRoom,
        later: Later,
        patience: Patience,
        clock: Clock,
        metrics: Metrics,
        backfill_most: Callable[[], int],
        routes: FetchRoutes,
    ) -> None:
        self._queue = queue
        self._store = store
        self._settings = settings
        self._max_bytes = max_bytes
        self._budget = budget
        self._room = room
        self._later = later
        self._patience = patience
        self._clock = clock
        self._metrics = metrics
        self._backfill_most = backfill_most
        self._routes = routes

    def turn(self) -> None:
        """Fetch the most urgent one."""
        for task in self._queue.take(1, 0.1, backfill_most=self._backfill_most):
            self._fetch(task)

    def _fetch(self, task: ImageTask) -> None:
        promised = task.state.object
        if promised is None:
            raise AssertionError("only events with an object are fetched")
        if promised.size_bytes > self._max_bytes:
            self._routes.reject(task, _too_many_bytes(promised.size_bytes, self._max_bytes))
            return
        if not self._budget.acquire(promised.size_bytes, self._patience.giving_up):
            return
        if not self._read(task, promised):
            self._budget.release(promised.size_bytes)

    def _read(self, task: ImageTask, promised: ObjectReference) -> bool:
        """Whether the task now holds its bytes."""
        started_s = self._clock.monotonic()
        try:
            data = self._get(promised)
            task.content_sha256 = verified(data, promised)
        except TransientError as error:
            self._patience.failed(Part.STORE, error)
            self._again(task, self._settings.backoff_max_s)
            return False
        except ObjectMissing:
            place = f"{promised.bucket}/{promised.key}"
            self._missing(task, RejectReason.OBJECT_MISSING, f"the object store has no {place}")
            return False
        except ObjectChanged as error:
            self._missing(task, RejectReason.OBJECT_CHANGED, str(error))
            return False
        self._store_answered()
        self._metrics.fetch_seconds.observe(self._clock.monotonic() - started_s)
        self._hand_on(task, data, self._clock.now())
        return True

    def _get(self, promised: ObjectReference) -> bytes:
        try:
            return self._store.get(
                promised.bucket, promised.key, max_bytes=max(1, promised.size_bytes)
            )
        except TooLarge as error:
            raise ObjectChanged(
                f"the object has more bytes than the {promised.size_bytes} its event says"
            ) from error

    def _hand_on(self, task: ImageTask, data: bytes, now: datetime) -> None:
        task.data, task.fetched = data, now
        known = task.state.object is not None and task.state.object.sha256 is not None
        (self._routes.share if known else self._routes.plan)(task)

    def _missing(self, task: ImageTask, reason: RejectReason, message: str) -> None:
        self._store_answered()
        now_s = self._clock.monotonic()
        if task.missing_since_s is None:
            task.missing_since_s = now_s
        left_s = task.missing_since_s + self._settings.object_grace_s - now_s
        if left_s <= 0:
            looked = f"{message} (looked for {self._settings.object_grace_s:g} s)"
            self._routes.reject(task, Rejection(reason, looked))
        else:
            self._again(task, min(left_s, _LONGEST_LOOK_S))

    def _again(self, task: ImageTask, longest_s: float) -> None:
        backoff = self._patience.backoff()
        backoff.attempts = task.fetch_attempts
        task.fetch_attempts += 1
        self._room.park(task.lane)
        self._later.after(min(longest_s, backoff.next_s()), lambda: self._unpark(task))

    def _unpark(self, task: ImageTask) -> None:
        self._room.unpark(task.lane)
        self._queue.put(task.lane, [task])

    def _store_answered(self) -> None:
        if self._patience.is_down(Part.STORE):
            self._later.hurry()
        self._patience.worked(Part.STORE)


def _too_many_bytes(size_bytes: int, limit_bytes: int) -> Rejection:
    return Rejection(
        RejectReason.TOO_MANY_BYTES, f"{size_bytes} bytes, at most {limit_bytes} are accepted"
    )


def backfill_share(depth: Callable[[Lane], int], bound: int) -> Callable[[], int]:
    """One more backfill item may be fetched only while fewer than `bound` wait to be embedded."""
    return lambda: 1 if depth(Lane.BACKFILL) < bound else 0
