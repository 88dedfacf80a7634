"""Writes images over points that may hold decisions: the writing side of every vector store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.records import GenerationSpec, IndexedImage
from sightline.engine.vector_index.payload import check_vectors, highest, point_id
from sightline.engine.vector_index.stored_decisions import decision_of
from sightline.engine.vector_index.stored_images import fence_of

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
    """What was not written is written again with the decision that is there.

    So is what is not there: its replicas do not agree on it yet.
    """
    left = list(images)
    for _ in range(_ATTEMPTS):
        write(left)
        stored = read([image.image_id for image in left])
        left = [
            again
            for image in left
            if (again := _not_written(image, stored.get(point_id(image.image_id)))) is not None
        ]
        if not left:
            return
    raise PartUnavailable(
        Part.INDEX,
        f"{len(left)} images could not be written: they were decided "
        "on again and again, or replicas of the index differ",
    )


def _not_written(image: IndexedImage, stored: Mapping[str, Any] | None) -> IndexedImage | None:
    """What is to be written of an image, once more; None: it is there, or a higher one."""
    if stored is None:
        return image
    if fence_of(stored) < image.fence:
        return replace(image, decision=decision_of(stored, image.image_id))
    return None
