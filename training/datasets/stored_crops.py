"""Pictures in the object store in, crops of any of them out, decoded unless they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline.engine.pictures.prepare import prepare
from sightline.engine.ports import ObjectStore
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from sightline.training.datasets.crop_memory import CropMemory
from sightline.training.datasets.pictures import Picture

_SPARE = 256 / 224
"""Crops are larger than what the network sees by this, so that a view of most of it is sharp."""


def stored_crop(
    store: ObjectStore, picture: Picture, limits: DecodeSettings, framing: Framing
) -> NDArray[np.uint8]:
    """The picture as a network sees it, uint8 (size, size, 3).

    Raises:
        ObjectMissing, ObjectDenied, BadImage: it cannot be read.
        PartUnavailable: the store did not answer.
    """
    data = store.get(picture.bucket, picture.key, max_bytes=limits.max_bytes)
    return prepare(data, limits=limits, framing=framing, box=picture.crop).crop


def view_framing(framing: Framing) -> Framing:
    """How a picture is cropped that views are drawn from, for a network that sees `framing`."""
    side = round(framing.size * _SPARE)
    whole: int | Literal["stretch"] = "stretch" if framing.short_side == "stretch" else side
    return Framing(side, whole, framing.interpolation)


class StoredCrops:
    """The `Crops` of a training on pixels; none is kept on disk (docs/backbone.md says why).

    Args:
        store: holds the pictures.
        pictures: where each lies, by row; known to be readable.
        hashes: the perceptual hash of each.
        framing: of what the network sees in the end.
        limits: of what is decoded.
        threads: that decode at once.
        kept_bytes: of decoded crops in memory, as long as this lives.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        pictures: Sequence[Picture],
        hashes: tuple[str, ...],
        framing: Framing,
        limits: DecodeSettings,
        threads: int,
        kept_bytes: int,
    ) -> None:
        self._store = store
        self._pictures = pictures
        self._framing = view_framing(framing)
        self._limits = limits
        self._threads = threads
        self._kept = CropMemory(kept_bytes)
        self.hashes = hashes
        """See `Crops.hashes`."""

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """See `Crops.of`.

        Raises:
            ObjectMissing, ObjectDenied, BadImage: a picture has gone or changed since it was looked
                at; the command's repeat goes on without it.
            PartUnavailable: the store did not answer.
        """
        distinct, places = np.unique(rows, return_inverse=True)
        with ThreadPoolExecutor(self._threads) as threads:
            crops = list(threads.map(self._crop, distinct.tolist()))
        return np.stack(crops)[places]

    def _crop(self, row: int) -> NDArray[np.uint8]:
        crop = self._kept.get(row)
        if crop is None:
            crop = stored_crop(self._store, self._pictures[row], self._limits, self._framing)
            self._kept.put(row, crop)
        return crop
