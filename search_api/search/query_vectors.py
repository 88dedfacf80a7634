"""Uploaded queries in, vectors out: decoded in threads, embedded with whatever else is queued."""

from __future__ import annotations

import asyncio
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.pictures.prepare import PreparedImage, prepare
from sightline.engine.ports import Embedder
from sightline.engine.settings import DecodeSettings
from sightline.schemas.searches import CropBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BATCH = 8
"""Waiting to fill a batch never pays below 70 % load; taking what is queued never hurts."""


@dataclass(frozen=True, slots=True)
class _Asked:
    crop: NDArray[np.uint8]
    done: Future[NDArray[np.float32]]


class QueryVectors:
    """Decodes and embeds uploads between `start` and `close`.

    Args:
        embedder: gives a crop the same vector whatever it is batched with.
        limits: of decoding.
        decode_threads: pictures decoded at once; each may take 3 bytes a pixel of `limits`.
        embed_threads: forward passes at once.
    """

    def __init__(
        self, embedder: Embedder, limits: DecodeSettings, *, decode_threads: int, embed_threads: int
    ) -> None:
        self._embedder = embedder
        self._limits = limits
        self._decoders = ThreadPoolExecutor(decode_threads, "query-decode")
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._embed_forever, name=f"query-embed-{n}", daemon=True)
            for n in range(embed_threads)
        ]

    def start(self) -> None:
        """Start the embedding threads."""
        for thread in self._threads:
            thread.start()

    async def prepared(self, data: bytes, box: CropBox | None = None) -> PreparedImage:
        """Decode, crop and hash one picture.

        Raises:
            BadImage: it is not a picture that we accept.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoders, self._prepare, data, box)

    async def vector(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed one crop.

        Raises:
            PartUnavailable: the embedder failed.
        """
        asked = _Asked(crop, Future())
        self._asked.put(asked)
        return await asyncio.wrap_future(asked.done)

    def close(self) -> None:
        """End the threads once what is queued is done; repeated calls do nothing."""
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._decoders.shutdown()

    def _prepare(self, data: bytes, box: CropBox | None) -> PreparedImage:
        return prepare(data, limits=self._limits, size=self._embedder.input_size, box=box)

    def _embed_forever(self) -> None:
        while (first := self._asked.get()) is not None:
            batch = self._with_company(first)
            # A caller that went away has cancelled its future.
            self._embed([asked for asked in batch if asked.done.set_running_or_notify_cancel()])

    def _with_company(self, first: _Asked) -> list[_Asked]:
        batch = [first]
        while len(batch) < MAX_BATCH:
            try:
                more = self._asked.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._asked.put(None)
                break
            batch.append(more)
        return batch

    def _embed(self, batch: list[_Asked]) -> None:
        if not batch:
            return
        try:
            vectors = self._embedder.embed(np.stack([asked.crop for asked in batch]))
        except Exception as error:  # noqa: BLE001 (any vendor's failure must reach its callers)
            failure = PartUnavailable(Part.EMBEDDER, f"embedding failed: {type(error).__name__}")
            failure.__cause__ = error
            for asked in batch:
                asked.done.set_exception(failure)
            return
        for asked, vector in zip(batch, vectors, strict=True):
            asked.done.set_result(vector)
