"""Decoded crops in memory: a picture that a training draws again need not be decoded again."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray


class CropMemory:
    """The crops that were asked for last, within a bound. Safe between threads.

    Args:
        max_bytes: of all that are kept; 0: none is.
    """

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, row: int) -> NDArray[np.uint8] | None:
        """The crop of a picture, uint8 (side, side, 3); None: it is not kept."""
        with self._lock:
            if row in self._kept:
                self._kept.move_to_end(row)
            return self._kept.get(row)

    def put(self, row: int, crop: NDArray[np.uint8]) -> None:
        """Keep it, and forget those that nobody asked for longest; a repeat changes nothing."""
        with self._lock:
            if row in self._kept:
                return
            self._kept[row] = crop
            self._left -= crop.nbytes
            while self._left < 0:
                self._left += self._kept.popitem(last=False)[1].nbytes
