"""Many perceptual hashes in arrays: in how many bits they differ, all at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.engine.pictures.near_duplicates import HASH_BITS

Words = NDArray[np.uint64]
"""(..., 4): the 256 bits of a hash on the last axis."""
_BYTES = HASH_BITS // 8


def hash_words(hashes: Sequence[str]) -> Words:
    """Turn n hex hashes, or empty texts, into (n, 4) words; what says nothing is all zero."""
    texts = (bytes.fromhex(text) if text else bytes(_BYTES) for text in hashes)
    return np.frombuffer(b"".join(texts), np.uint64).reshape(-1, _BYTES // 8)


def bits_apart(left: Words, right: Words) -> NDArray[np.uint16]:
    """In how many bits hashes, or as many words of each, differ; the axes before broadcast."""
    shape = np.broadcast_shapes(left.shape, right.shape)
    apart = np.zeros(shape[:-1], np.uint16)
    for word in range(shape[-1]):
        apart += np.bitwise_count(left[..., word] ^ right[..., word])
    return apart
