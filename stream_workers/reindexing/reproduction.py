"""Sampled images and their stored pictures in, whether their vectors are the model's own out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.engine.errors import OF_ONE_OBJECT
from sightline.engine.ports import Embedder
from sightline.engine.records import IndexedImage
from sightline.stream_workers.reindexing.parity import Reproduced

PICTURES = 32


class Decoded(Protocol):
    """What is needed here of a decoded picture."""

    @property
    def crop(self) -> NDArray[np.uint8]:
        """The network's input: (size, size, 3) bytes, RGB."""


def reproduce(
    images: Iterable[IndexedImage],
    *,
    read: Callable[[IndexedImage], bytes],
    decode: Callable[[bytes], Decoded],
    embedder: Embedder,
) -> Reproduced:
    """Embed pictures anew, one by one, and compare with what the generation holds of them.

    Args:
        images: with their vectors.
        read: an image's bytes, checked against the hash of those that were indexed.
        decode: bytes to the network's crop.
        embedder: the generation's own model.

    Raises:
        PartUnavailable: the store did not answer.
    """
    cosines: list[float] = []
    unread = 0
    for image in images:
        if image.vector is None:
            continue
        try:
            crop = decode(read(image)).crop
        except OF_ONE_OBJECT:
            unread += 1
            continue
        cosines.append(float(embedder.embed(crop[np.newaxis])[0] @ image.vector))
    worst = min(cosines) if cosines else None
    return Reproduced(pictures=len(cosines), worst_cosine=worst, unread=unread)
