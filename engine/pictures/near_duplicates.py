"""256-bit dHashes in, look-alikes out: which pictures show the same thing to the eye."""

from __future__ import annotations

import re
from collections.abc import Iterable

HASH_BITS = 256
_FLAT = "flat-"
_LOOK = re.compile("[0-9a-f]{64}")
"""What names a cluster that a picture with a gradient began."""


def is_founding_hash(cluster: str) -> bool:
    """Whether a cluster is named by a hash; one of flat pictures is not."""
    return _LOOK.fullmatch(cluster) is not None


def hash_bits(hex_hash: str | None) -> int:
    """A hex dHash as a number; 0 for none and for the all-zero one, which say nothing.

    The all-zero hash belongs to any picture without a gradient: by it a plain red and a plain blue
    picture would be the same.

    Raises:
        ValueError: it is not hexadecimal.
    """
    return int(hex_hash, 16) if hex_hash else 0


def near_any(mine: int, others: Iterable[int], *, bits: int) -> bool:
    """Whether `mine` differs in at most `bits` bits from any of the others, none of which is 0."""
    # A plain loop: a page compares some 300 pairs, and a generator doubles what each costs.
    for other in others:  # noqa: SIM110
        if (mine ^ other).bit_count() <= bits:
            return True
    return False


def cluster_of(perceptual_hash: str, content_sha256: str, near: Iterable[str], *, bits: int) -> str:
    """The cluster of look-alikes that a picture belongs to, named by the picture that began it.

    A cluster is a star: each member is within `bits` of the hash that names it, so no chain of
    small changes leads from one picture to an unlike one. Equal pictures share a cluster: nothing
    is nearer to a picture than its equal, and both are as far from the hash that names it.

    Args:
        perceptual_hash: hex dHash.
        content_sha256: names the cluster of a flat picture, whose hash says nothing.
        near: the clusters of the pictures most like it, the most alike first; none of a flat one.
        bits: distance up to which two pictures look the same.
    """
    mine = hash_bits(perceptual_hash)
    if not mine:
        return _FLAT + content_sha256
    for cluster in near:
        if is_founding_hash(cluster) and near_any(mine, (hash_bits(cluster),), bits=bits):
            return cluster
    return perceptual_hash
