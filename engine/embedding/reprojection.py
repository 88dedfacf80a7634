"""Kept features in, vectors of another projection out: a new head needs no pictures.

What a worker does row by row, so that a vector never depends on its batch, is one product here: a
million images are half a minute of one core. The bits kept (docs/adr/0025) change more than the
order of the sums does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.projections import AnyProjection, Features, unit_rows
from sightline.engine.vector_index.packed_features import Codes, Packing

_BLOCK = 4_096
"""Rows to one product: 20 MiB. Where OpenBLAS may use a second core, handing it 512 rows and fewer
costs more than the product (measured: 5,000 images a CPU second at 64, 48,000 from 1,024 on). In
one thread, as in all that runs long (`linear_algebra`), it is 57,000 at 64 already."""


def reproject(
    rows: NDArray[np.uint8], packing: Packing, projection: AnyProjection | None
) -> Features:
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
    blocks = [rows[start : start + _BLOCK] for start in range(0, max(1, len(rows)), _BLOCK)]
    if projection is None:
        return np.concatenate([unit_rows(packing.unpack(block)) for block in blocks])
    matrix = projection.columns
    shift, sums = projection.mean @ matrix, matrix.sum(axis=0)
    products = (_product(packing.taken_apart(block), matrix, shift, sums) for block in blocks)
    return np.concatenate([unit_rows(projection.vectors(each)) for each in products])


def _product(codes: Codes, matrix: Features, shift: Features, sums: Features) -> Features:
    """((codes - offset) · scale - mean) @ matrix, with one pass over the wide side only."""
    product: Features = codes.codes.astype(np.float32) @ matrix
    if codes.offset.any():
        product -= codes.offset * sums
    product *= codes.scale
    product -= shift
    return product
