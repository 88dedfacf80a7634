"""Kept features in, vectors of another projection out: a new head needs no pictures.

What a worker does row by row, so that a vector never depends on its batch, is one product here: a
million images are half a minute of one core. The bits kept (docs/adr/0025) change more than the
order of the sums does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.embedder import Features, Projection, unit_rows
from sightline.engine.vector_index.packed_features import Packing

_BLOCK = 1_024
"""Rows to one product: 5 MiB of features, which a core's cache holds in part."""


def reproject(rows: NDArray[np.uint8], packing: Packing, projection: Projection | None) -> Features:
    """Packed features to vectors.

    Args:
        rows: uint8 (n, packing.width), as an index keeps them.
        packing: how they are kept.
        projection: the new model's; None: it has none, features are its vectors.

    Returns:
        float32 (n, dimensions), each row of L2 norm 1.

    Raises:
        ValueError: rows of another packing, or a projection of other features.
    """
    if projection is not None and len(projection.mean) != packing.count:
        raise ValueError(f"a projection of {len(projection.mean)} features, not {packing.count}")
    parts = [
        _projected(packing.unpack(rows[start : start + _BLOCK]), projection)
        for start in range(0, max(1, len(rows)), _BLOCK)
    ]
    return np.concatenate(parts)


def _projected(features: Features, projection: Projection | None) -> Features:
    if projection is None:
        return unit_rows(features)
    features -= projection.mean
    return unit_rows(features @ projection.matrix)
