"""Clusters of look-alikes by vector: those of the nearest images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.engine.records import Likeness
from sightline.engine.vector_index.point_store import PointStore
from sightline.engine.vector_index.ranking import CLUSTER, Asked, clusters_of
from sightline.engine.vector_index.read_conditions import IS_LISTED


def clusters_by_vector(
    points: PointStore, pictures: Sequence[Likeness], limit: int
) -> list[tuple[str, ...]]:
    """For each picture the clusters of the `limit` listed images whose vectors are nearest to its.

    One field of each is read, not what a search tells of it. Raises `PartUnavailable`.
    """
    if not pictures:
        return []
    vectors = np.stack([picture.vector for picture in pictures])
    found = points.nearest(vectors, IS_LISTED, Asked(limit, CLUSTER), exact=False)
    return [clusters_of(each) for each in found]
