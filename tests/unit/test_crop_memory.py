"""Decoded crops are kept in memory: as many as fit, those that were asked for last."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from sightline.training.datasets.crop_memory import CropMemory
from sightline.training.datasets.pictures import Picture
from sightline.training.datasets.stored_crops import StoredCrops, view_framing
from tests.pictures import encoded, scene

FRAMING = Framing(14, 14, "bilinear")
SIDE = view_framing(FRAMING).size
CROP_BYTES = SIDE * SIDE * 3


class CountingStore(MemoryObjectStore):
    """Notes what is read."""

    def __init__(self) -> None:
        super().__init__("b")
        self.read: list[str] = []

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """See `MemoryObjectStore.get`."""
        self.read.append(key)
        return super().get(bucket, key, max_bytes=max_bytes)


def crops_of(store: CountingStore, kept_bytes: int) -> StoredCrops:
    """Of three pictures."""
    for number in range(3):
        store.put("b", str(number), encoded(scene(20, 20, number), "PNG"))
    return StoredCrops(
        store=store,
        pictures=[Picture(bucket="b", key=str(number)) for number in range(3)],
        hashes=("0" * 64,) * 3,
        framing=FRAMING,
        limits=DecodeSettings(),
        threads=1,
        kept_bytes=kept_bytes,
    )


@pytest.mark.parametrize(
    ("crops", "read"),
    [(3, ["0", "1", "2"]), (2, ["0", "1", "2", "1"]), (0, ["0", "1", "0", "2", "0", "1"])],
)
def test_what_is_kept_is_not_read_again(crops: int, read: list[str]) -> None:
    """Where two fit, the one that was asked for longest ago is forgotten; pixels are the same."""
    store = CountingStore()
    kept, fresh = crops_of(store, crops * CROP_BYTES), crops_of(CountingStore(), 0)
    for rows in ([0, 1], [0, 2], [0, 1]):
        asked = np.array(rows, dtype=np.int64)
        np.testing.assert_array_equal(kept.of(asked), fresh.of(asked))
    assert store.read == read


def test_a_crop_above_the_bound_is_not_kept() -> None:
    """And leaves room for those that fit."""
    memory = CropMemory(10)
    memory.put(1, np.zeros((2, 2, 3), np.uint8))
    assert memory.get(1) is None
    memory.put(2, np.zeros((1, 3, 3), np.uint8))
    memory.put(2, np.zeros((1, 3, 3), np.uint8))
    assert memory.get(2) is not None
