"""Features of pictures: found by id, and made from what the store holds."""

from __future__ import annotations

import numpy as np

from sightline.training.datasets.features import MISSING, PictureFeatures

FEATURES = PictureFeatures(
    images=("a", "b", "c"),
    features=np.arange(6, dtype=np.float32).reshape(3, 2),
    hashes=("0" * 64, "f" * 64, ""),
)


def test_rows_are_found_by_id() -> None:
    """In the order asked for; an unknown picture has none."""
    assert FEATURES.lookup(["c", "x", "a"]).tolist() == [2, MISSING, 0]


def test_some_of_the_pictures() -> None:
    """By number or mask, every column alike."""
    for rows in (np.array([0, 2]), np.array([True, False, True])):
        some = FEATURES.chosen(rows)
        assert (some.images, some.hashes) == (("a", "c"), ("0" * 64, ""))
        assert some.features.tolist() == [[0, 1], [4, 5]]
