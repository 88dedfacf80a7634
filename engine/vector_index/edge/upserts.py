"""Images as the embedded engine writes them: points, inserted or replaced under conditions."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import qdrant_edge as edge

from sightline.engine.records import GenerationSpec, IndexedImage
from sightline.engine.vector_index.edge.translation import to_filter
from sightline.engine.vector_index.payload import named_vectors, point_id, to_payload
from sightline.engine.vector_index.write_conditions import any_below

if TYPE_CHECKING:
    from numpy.typing import NDArray


def insert(images: Sequence[IndexedImage], spec: GenerationSpec) -> edge.UpdateOperation:
    """Write those of the images of which there is no point yet, in one operation.

    Without conditions, which cost as much as the write itself (measured).
    """
    points = [_point(image, spec) for image in images]
    return edge.UpdateOperation.upsert_points(points, update_mode=edge.UpdateMode.InsertOnly)


def upsert(images: Sequence[IndexedImage], spec: GenerationSpec) -> edge.UpdateOperation:
    """Write those of the images whose fence is above the stored one, in one operation."""
    points = [_point(image, spec) for image in images]
    fences = to_filter(any_below(images))
    return edge.UpdateOperation.upsert_points(points, condition=fences)


def _point(image: IndexedImage, spec: GenerationSpec) -> edge.Point:
    """The point as an image is written; numbers as arrays, which the engine reads fastest."""
    told = named_vectors(image, spec)
    vectors: object = (
        {name: _floats(numbers) for name, numbers in told.items()}
        if isinstance(told, dict)
        else _floats(told)
    )
    return edge.Point(point_id(image.image_id), cast("edge.Vector", vectors), to_payload(image))


def _floats(numbers: NDArray[np.float32]) -> array[float]:
    return array("f", numbers.astype(np.float32, copy=False).tobytes())
