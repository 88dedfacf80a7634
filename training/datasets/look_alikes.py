"""Perceptual hashes of many pictures in, which of them look alike out: in arrays, not one by one.

The rule is that of `engine.pictures.near_duplicates`; a hash that says nothing is near no other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.engine.pictures.hash_words import Words, bits_apart, hash_words
from sightline.engine.pictures.near_duplicates import HASH_BITS

LOOK_ALIKE_BITS = 40
"""Pictures whose hashes differ in at most so many bits look alike, where nobody says otherwise."""
_BLOCK = 1_024
"""Pictures that are compared with all others at once."""


def alike(left: Words, right: Words, *, bits: int) -> NDArray[np.bool_]:
    """Whether left[i] and right[j] differ in at most `bits` bits, (l, r)."""
    near: NDArray[np.bool_] = bits_apart(left[:, None], right[None]) <= bits
    return near & _says(left)[:, None] & _says(right)[None, :]


def look_alike_groups(hashes: Sequence[str], *, bits: int = LOOK_ALIKE_BITS) -> NDArray[np.int64]:
    """Number the groups of n pictures, (n,): look-alikes, and look-alikes of these, share a group.

    Equal hashes are compared once; the rest takes time in the square of their number: 256
    multiplications a pair.
    """
    words = hash_words(hashes)
    distinct, which = np.unique(words, axis=0, return_inverse=True)
    signs = np.unpackbits(distinct.view(np.uint8), axis=1).astype(np.float32) * 2 - 1
    signs[~_says(distinct)] = 0.0
    edges = [np.empty((0, 2), np.int64)]
    for first in range(0, len(signs), _BLOCK):
        agreeing = signs[first : first + _BLOCK] @ signs[first:].T
        row, column = np.nonzero(agreeing >= HASH_BITS - 2 * bits)
        edges.append(np.stack([row, column], axis=1) + first)
    groups = connected(np.concatenate(edges), count=len(distinct))[which.ravel()]
    alone = ~_says(words)
    groups[alone] = len(distinct) + np.arange(np.count_nonzero(alone))
    return np.unique(groups, return_inverse=True)[1].ravel().astype(np.int64)


def _says(words: Words) -> NDArray[np.bool_]:
    """Whether each hash says anything of its picture, (n,)."""
    return np.asarray(words.any(axis=1), bool)


def connected(edges: NDArray[np.integer], *, count: int) -> NDArray[np.int64]:
    """Name each of `count` nodes by the smallest node that edges (e, 2) lead to, (count,)."""
    name = np.arange(count, dtype=np.int64)
    while True:
        lowest = np.minimum(name[edges[:, 0]], name[edges[:, 1]])
        after = name.copy()
        np.minimum.at(after, edges.ravel(), np.repeat(lowest, 2))
        after = after[after]
        if np.array_equal(after, name):
            return name
        name = after
