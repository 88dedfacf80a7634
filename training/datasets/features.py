"""What a frozen network says of each picture of a data set: rows of features, found by image id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MISSING = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureFeatures:
    """n pictures that could be read, by id."""

    images: tuple[str, ...]
    """Ids, sorted, each once."""
    features: NDArray[np.float32]
    """(n, f) pooled features, as `Runtime.features` gives them."""
    hashes: tuple[str, ...]
    """n dHashes of 256 bits, hex; empty: unknown, and near no other picture."""

    def __len__(self) -> int:
        """Counts the pictures that could be read."""
        return len(self.images)

    def lookup(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """The row of each id, (len(ids),); `MISSING` where its picture could not be read."""
        row = {image: at for at, image in enumerate(self.images)}
        return np.asarray([row.get(image, MISSING) for image in ids], np.int32)

    def chosen(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> PictureFeatures:
        """Some of the pictures, by ascending row number or by mask."""
        at = np.arange(len(self))[rows]
        return PictureFeatures(
            images=tuple(self.images[i] for i in at),
            features=self.features[at],
            hashes=tuple(self.hashes[i] for i in at),
        )
