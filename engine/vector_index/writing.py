"""Writes images over points that may hold decisions: the writing side of every vector store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.records import GenerationSpec, IndexedImage
from sightline.engine.vector_index.payload import check_vectors, highest, point_id
from sightline.engine.vector_index.stored_points import decision_of, fence_of

Write = Callable[[Sequence[IndexedImage]], None]
Read = Callable[[Collection[str]], Mapping[str, Mapping[str, Any]]]
_ATTEMPTS = 20


def write_images(
    images: Sequence[IndexedImage], write: Write, read: Read, *, spec: GenerationSpec, batch: int
) -> int:
    """Write of each image the highest entry; what decisions the points hold stays.

    Args:
        images: any number per id.
        write: replaces points whole, each only where its image is below and its decision is the
            one that the image brings; it does not say what it wrote.
        read: the stored payloads of images, by point.
        spec: says what vectors and features there may be.
        batch: images to one `write`.

    Returns:
        How many images there were.

    Raises:
        ValueError: as `check_vectors`; nothing was written.
        PartUnavailable: it may be half applied; repeat it whole.
    """
    winners = highest(images)
    check_vectors(winners, spec)
    for start in range(0, len(winners), batch):
        _keep_decisions(winners[start : start + batch], write, read)
    return len(winners)


def _keep_decisions(images: Sequence[IndexedImage], write: Write, read: Read) -> None:
    """What was not written is written again with the decision that is there."""
    left = list(images)
    for _ in range(_ATTEMPTS):
        write(left)
        stored = read([image.image_id for image in left])
        left = [
            replace(image, decision=decision_of(payload, image.image_id))
            for image in left
            if (payload := stored.get(point_id(image.image_id))) is not None
            and fence_of(payload) < image.fence
        ]
        if not left:
            return
    raise PartUnavailable(Part.INDEX, f"{len(left)} images were decided on again and again")
