"""Fetched bytes to vectors: each thread decodes and forwards its own batch.

Two threads that each decode and forward reach 95.5 % of the bare forward, one that decodes and
one that forwards 49 % (measured, resnet50 on two cores). What is queued is taken, up to
`max_batch`; waiting to fill a batch is never worth it below 70 % load. Where a forward pass takes
one image, a thread takes its part of the queue only (docs/adr/0010).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.engine.errors import BadImage, Part
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, Embedder
from sightline.stream_workers.delivery.retries import GaveUp, Patience
from sightline.stream_workers.indexing.fetch import ByteBudget
from sightline.stream_workers.indexing.lane_queue import LaneQueue, LaneRoom
from sightline.stream_workers.indexing.task import ImageTask, PictureFacts, Rejection

_log = logging.getLogger(__name__)
_LIVE_MEMORY_S = 5.0
"""Live traffic this recent keeps one thread free of backfill, and backfill batches at one."""


class Prepared(Protocol):
    """What decoding gives."""

    @property
    def crop(self) -> NDArray[np.uint8]:
        """(size, size, 3), RGB."""

    @property
    def perceptual_hash(self) -> str:
        """64 hex digits."""

    @property
    def width(self) -> int:
        """Of the upright picture, pixels."""

    @property
    def height(self) -> int:
        """Of the upright picture, pixels."""


class BackfillThreads:
    """How much backfill a free embedding thread may take, so that live need not wait for it.

    A live image that arrives while every thread is inside a backfill batch waits for one to end.
    While live traffic is recent, one thread takes none (of several), and batches hold one image.
    """

    def __init__(self, room: LaneRoom, *, threads: int, max_batch: int) -> None:
        self._room = room
        self._threads = threads
        self._max_batch = max_batch
        self._busy = 0
        self._lock = threading.Lock()

    def most(self) -> int:
        """How many a thread may take now."""
        with self._lock:
            if not self._room.live_within(_LIVE_MEMORY_S):
                return self._max_batch
            return 1 if self._busy < max(1, self._threads - 1) else 0

    def busy(self, change: int) -> None:
        """One more thread works on backfill, or one less."""
        with self._lock:
            self._busy += change


class EmbedRoutes(NamedTuple):
    """Where embedded events go."""

    embedded: Callable[[ImageTask, PictureFacts], None]
    refused: Callable[[ImageTask, Rejection], None]
    """Looking at the bytes showed that they are no picture; equal bytes are none either."""
    failed: Callable[[ImageTask, str, BaseException], None]
    """Something unforeseen, at that stage: the item is dead-lettered."""


class EmbeddingStage:
    """One turn takes a batch, decodes it and forwards it; run in several threads."""

    def __init__(
        self,
        queue: LaneQueue[ImageTask],
        embedder: Embedder,
        decode: Callable[[bytes], Prepared],
        *,
        max_batch: int,
        backfill: BackfillThreads,
        budget: ByteBudget,
        patience: Patience,
        clock: Clock,
        metrics: Metrics,
        taken: Callable[[], None],
        routes: EmbedRoutes,
    ) -> None:
        self._queue = queue
        self._embedder = embedder
        self._decode = decode
        self._max_batch = max_batch
        self._backfill = backfill
        self._budget = budget
        self._patience = patience
        self._clock = clock
        self._metrics = metrics
        self._taken = taken
        self._routes = routes

    def turn(self) -> None:
        """Embed what is queued, live first."""
        tasks = self._queue.take(self._max_batch, 0.1, backfill_most=self._backfill.most)
        if not tasks:
            return
        self._taken()
        is_backfill = all(task.lane == "backfill" for task in tasks)
        self._backfill.busy(int(is_backfill))
        try:
            self._embed(self._decoded(tasks))
        finally:
            self._backfill.busy(-int(is_backfill))

    def _decoded(self, tasks: Iterable[ImageTask]) -> list[tuple[ImageTask, Prepared]]:
        started_s = self._clock.monotonic()
        decoded = [(task, prepared) for task in tasks if (prepared := self._one(task)) is not None]
        self._metrics.embed_seconds.labels("decode").observe(self._clock.monotonic() - started_s)
        return decoded

    def _one(self, task: ImageTask) -> Prepared | None:
        data, task.data = task.data or b"", None
        try:
            return self._decode(data)
        except BadImage as error:
            self._routes.refused(task, Rejection(error.reason, str(error)))
        except Exception as error:  # noqa: BLE001  one bad item never fails its batch (docs/adr/0005)
            _log.exception("decoding failed in an unforeseen way")
            self._routes.failed(task, "decode", error)
        finally:
            self._budget.release(len(data))
        return None

    def _embed(self, batch: list[tuple[ImageTask, Prepared]]) -> None:
        if not batch:
            return
        started_s = self._clock.monotonic()
        try:
            vectors = self._forward([prepared for _, prepared in batch])
        except GaveUp:
            raise
        except Exception as error:  # noqa: BLE001  one bad item never fails its batch (docs/adr/0005)
            self._alone(batch, error)
            return
        self._metrics.batch_size.observe(len(batch))
        self._metrics.embed_seconds.labels("forward").observe(self._clock.monotonic() - started_s)
        now = self._clock.now()
        for (task, prepared), vector in zip(batch, vectors, strict=True):
            task.embedded, task.paid = now, True
            self._routes.embedded(task, _facts(task, prepared, vector))

    def _forward(self, batch: list[Prepared]) -> NDArray[np.float32]:
        crops = np.stack([prepared.crop for prepared in batch])
        vectors = self._patience.until_it_works(Part.EMBEDDER, lambda: self._embedder.embed(crops))
        if not np.isfinite(vectors).all():
            raise ValueError("the embedder gave numbers that are not finite")
        return vectors

    def _alone(self, batch: list[tuple[ImageTask, Prepared]], error: Exception) -> None:
        """Find the one that the batch failed for."""
        if len(batch) == 1:
            _log.error("embedding failed in an unforeseen way", exc_info=error)
            self._routes.failed(batch[0][0], "embed", error)
            return
        for one in batch:
            self._embed([one])


def _facts(task: ImageTask, prepared: Prepared, vector: NDArray[np.float32]) -> PictureFacts:
    if task.content_sha256 is None:
        raise AssertionError("what was fetched was hashed")
    return PictureFacts(
        task.content_sha256, prepared.perceptual_hash, prepared.width, prepared.height, vector
    )
