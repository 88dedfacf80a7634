"""Uploaded queries in, vectors out: decoded in threads, embedded with whatever else is queued."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.pictures.prepare import PreparedImage, prepare
from sightline.engine.ports import Embedder
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from sightline.schemas.searches import CropBox
from sightline.search_api.threads.pools import ApiPool

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BATCH = 8
"""Waiting to fill a batch never pays below 70 % load; taking what is queued never hurts."""


@dataclass(frozen=True, slots=True)
class _Asked:
    embedder: Embedder
    crop: NDArray[np.uint8]
    done: Future[NDArray[np.float32]]


class QueryVectors:
    """Decodes and embeds uploads, each with the model that its caller names.

    An embedder gives a crop the same vector whatever it is batched with.

    Args:
        limits: of decoding.
        decoding: threads that decode; each may take 3 bytes a pixel of `limits`.
        embedding: threads of forward passes.
    """

    def __init__(self, limits: DecodeSettings, *, decoding: ApiPool, embedding: ApiPool) -> None:
        self._limits = limits
        self._decoding = decoding
        self._embedding = embedding
        self._asked: queue.SimpleQueue[_Asked] = queue.SimpleQueue()

    async def prepared(
        self, data: bytes, framing: Framing, box: CropBox | None = None
    ) -> PreparedImage:
        """Decode, crop and hash one picture, framed as a model sees it.

        Raises:
            BadImage: it is not a picture that we accept.
        """
        return await self._decoding.run(self._prepare, data, framing, box)

    async def vector(self, embedder: Embedder, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed one crop by this model.

        Raises:
            PartUnavailable: the embedder failed.
        """
        asked = _Asked(embedder, crop, Future())
        self._asked.put(asked)
        self._embedding.submit(self._embed_waiting)
        return await asyncio.wrap_future(asked.done)

    def _prepare(self, data: bytes, framing: Framing, box: CropBox | None) -> PreparedImage:
        return prepare(data, limits=self._limits, framing=framing, box=box)

    def _embed_waiting(self) -> None:
        """Embed what waits, up to a batch; nothing, where another thread has taken it along."""
        batch: list[_Asked] = []
        with contextlib.suppress(queue.Empty):
            while len(batch) < MAX_BATCH:
                batch.append(self._asked.get_nowait())
        # A caller that went away has cancelled its future.
        here = [asked for asked in batch if asked.done.set_running_or_notify_cancel()]
        for embedder in {id(asked.embedder): asked.embedder for asked in here}.values():
            self._embed(embedder, [asked for asked in here if asked.embedder is embedder])

    def _embed(self, embedder: Embedder, batch: list[_Asked]) -> None:
        try:
            vectors = embedder.embed(np.stack([asked.crop for asked in batch]))
        except Exception as error:  # noqa: BLE001 (any vendor's failure must reach its callers)
            failure = PartUnavailable(Part.EMBEDDER, f"embedding failed: {type(error).__name__}")
            failure.__cause__ = error
            for asked in batch:
                asked.done.set_exception(failure)
            return
        for asked, vector in zip(batch, vectors, strict=True):
            asked.done.set_result(vector)
