"""Fetched bytes to vectors: each thread decodes and forwards its own batch.

Two threads that each decode and forward reach 95.5 % of the bare forward, one that decodes and
one that forwards 49 % (measured, resnet50 on two cores). What is queued is taken, up to
`max_batch`; waiting to fill a batch is never worth it below 70 % load. Where a forward pass takes
one image, a thread takes its part of the queue only (docs/adr/0010).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.engine.errors import BadImage, Part
from sightline.engine.ports import Embedder
from sightline.engine.vector_index.packed_features import Packing
from sightline.engine.vector_index.payload import checked_vector
from sightline.schemas.indexed import Lane
from sightline.stream_workers.delivery.retries import GaveUp
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.lane_room import LaneRoom
from sightline.stream_workers.indexing.moves import End, Move, Share, Unforeseen
from sightline.stream_workers.indexing.task import Fetched, Judged, PictureFacts, Rejection

_log = logging.getLogger(__name__)
_LIVE_MEMORY_S = 5.0
"""Live traffic this recent keeps one thread free of backfill, and backfill batches at one."""


class Prepared(Protocol):
    """What decoding a picture gives: the network's input and the picture's facts."""

    @property
    def crop(self) -> NDArray[np.uint8]:
        """The network's input: (size, size, 3) bytes, RGB."""

    @property
    def perceptual_hash(self) -> str:
        """The picture's perceptual hash: 256 bits as 64 hex digits."""

    @property
    def width(self) -> int:
        """Width of the picture in pixels, once it is turned upright."""

    @property
    def height(self) -> int:
        """Height of the picture in pixels, once it is turned upright."""

    @property
    def colours(self) -> str:
        """What was done with its embedded colour profile."""


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
        """Return how many backfill images a thread may take now."""
        with self._lock:
            if not self._room.live_within(_LIVE_MEMORY_S):
                return self._max_batch
            return 1 if self._busy < max(1, self._threads - 1) else 0

    @contextmanager
    def working_on(self, batch: Sequence[Fetched]) -> Iterator[None]:
        """Count the thread as busy with backfill while it works on a batch of nothing else."""
        change = int(bool(batch) and all(one.lane is Lane.BACKFILL for one in batch))
        with self._lock:
            self._busy += change
        try:
            yield
        finally:
            with self._lock:
                self._busy -= change


Decoded = tuple[Fetched, Prepared]


class Forwarded(NamedTuple):
    """What one forward pass gives of a picture."""

    vector: NDArray[np.float32]
    features: NDArray[np.uint8] | None


class Embedding:
    """Decodes and forwards batches; run in several threads.

    Args:
        packing: how features are kept; None: they are not.
        backfill: is told which threads work on backfill.
        decode: encoded bytes to the network's crop and the picture's facts.
    """

    def __init__(
        self,
        embedder: Embedder,
        decode: Callable[[bytes], Prepared],
        *,
        packing: Packing | None,
        backfill: BackfillThreads,
        context: StageContext,
    ) -> None:
        self._embedder = embedder
        self._decode = decode
        self._packing = packing
        self._backfill = backfill
        self._patience = context.patience
        self._clock = context.clock
        self._metrics = context.metrics

    def embed(self, batch: Sequence[Fetched]) -> list[Move]:
        """Return the verdict on each one's bytes, to be shared, or that something failed."""
        with self._backfill.working_on(batch):
            return self._embed(batch)

    def _embed(self, batch: Sequence[Fetched]) -> list[Move]:
        started_s = self._clock.monotonic()
        looked_at = [self._look(fetched) for fetched in batch]
        self._metrics.embed_seconds.labels("decode").observe(self._clock.monotonic() - started_s)
        moves = [one for one in looked_at if not isinstance(one, tuple)]
        return moves + self._vectors([one for one in looked_at if isinstance(one, tuple)])

    def _look(self, fetched: Fetched) -> Decoded | Move:
        try:
            prepared = self._decode(fetched.held.data or b"")
        except BadImage as error:
            rejection = Rejection(error.reason, str(error))
            return Share(Judged(fetched.task, rejection, fetched))
        except Exception as error:  # noqa: BLE001  one bad item never fails its batch (docs/adr/0005)
            _log.exception("decoding failed in an unforeseen way")
            return End(fetched.task, Unforeseen("decode", error))
        finally:
            fetched.held.let_go()
        self._metrics.pictures.labels(prepared.colours).inc()
        return fetched, prepared

    def _vectors(self, batch: Sequence[Decoded]) -> list[Move]:
        if not batch:
            return []
        started_s = self._clock.monotonic()
        try:
            seen = self._forward([prepared for _, prepared in batch])
            self._metrics.batch_size.observe(len(batch))
            forward_s = self._clock.monotonic() - started_s
            self._metrics.embed_seconds.labels("forward").observe(forward_s)
            now = self._clock.now()
            return [
                Share(Judged(fetched.task, _facts(fetched, prepared, each), fetched, embedded=now))
                for (fetched, prepared), each in zip(batch, seen, strict=True)
            ]
        except GaveUp:
            raise
        except Exception as error:  # noqa: BLE001  one bad item never fails its batch (docs/adr/0005)
            return self._alone(batch, error)

    def _forward(self, batch: list[Prepared]) -> list[Forwarded]:
        crops = np.stack([prepared.crop for prepared in batch])
        features = self._patience.until_it_works(
            Part.EMBEDDER, lambda: self._embedder.features(crops)
        )
        vectors = self._embedder.project(features)
        for vector in vectors:
            checked_vector(vector, self._embedder.dimensions, of="a picture")
        if self._packing is None:
            return [Forwarded(vector, None) for vector in vectors]
        return list(map(Forwarded, vectors, self._packing.pack(features)))

    def _alone(self, batch: Sequence[Decoded], error: Exception) -> list[Move]:
        """Forward one by one, to find the one that the batch failed for."""
        if len(batch) == 1:
            _log.error("embedding failed in an unforeseen way", exc_info=error)
            return [End(batch[0][0].task, Unforeseen("embed", error))]
        return [move for one in batch for move in self._vectors([one])]


def _facts(fetched: Fetched, prepared: Prepared, seen: Forwarded) -> PictureFacts:
    return PictureFacts(
        content_sha256=fetched.content_sha256,
        perceptual_hash=prepared.perceptual_hash,
        width=prepared.width,
        height=prepared.height,
        cluster=None,
        since=None,
        vector=seen.vector,
        features=seen.features,
    )
