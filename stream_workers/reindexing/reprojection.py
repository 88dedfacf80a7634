"""Images with the features that one generation keeps in, what another keeps of them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sightline.engine.embedding.reprojection import reproject
from sightline.engine.records import GenerationSpec, IndexedImage
from sightline.engine.vector_index.packed_features import Packing
from sightline.stream_workers.reindexing.seed import Projected, Reproject

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightline.engine.embedding.projections import AnyProjection


def can_reproject(old: GenerationSpec, features_digest: str) -> bool:
    """Whether what a generation keeps of each picture is what a model's projection takes."""
    return old.features_digest == features_digest


def reprojecting(
    old: GenerationSpec, new: GenerationSpec, features_digest: str, projection: AnyProjection | None
) -> Reproject:
    """What makes the new generation's vectors, and its features, from the old one's features.

    Args:
        old: of the generation that is read.
        new: of the generation that is written; it may keep fewer bits, or no features.
        features_digest: names the features that the new model's network gives.
        projection: the new model's; None: it has none.
    """
    packing, packed = Packing.of(old), Packing.of(new)

    def projected(images: Sequence[IndexedImage]) -> list[Projected | None]:
        kept = [image.features for image in images if image.features is not None]
        if packing is None or not kept or not can_reproject(old, features_digest):
            return [None] * len(images)
        rows = np.stack(kept)
        vectors = reproject(rows, packing, projection)
        made = zip(vectors, _repacked(rows, packing, packed), strict=True)
        return [None if image.features is None else Projected(*next(made)) for image in images]

    return projected


def _repacked(
    rows: NDArray[np.uint8], packing: Packing, packed: Packing | None
) -> Sequence[NDArray[np.uint8] | None]:
    if packed is None:
        return [None] * len(rows)
    return list(rows if packed == packing else packed.pack(packing.unpack(rows)))
