"""256-bit dHashes in, distances out: which pictures show the same thing to the eye."""

from __future__ import annotations

HASH_BITS = 256


def distance(left: str, right: str) -> int:
    """How many of the 256 bits of two hex dHashes differ.

    Raises:
        ValueError: one of them is not hexadecimal.
    """
    return (int(left, 16) ^ int(right, 16)).bit_count()


def near_duplicates(left: str | None, right: str | None, *, bits: int) -> bool:
    """Whether two pictures differ in at most `bits` bits.

    A missing hash is near nothing. Neither is an all-zero one: it belongs to any picture without a
    gradient, so a plain red and a plain blue one would otherwise be the same.
    """
    if not left or not right or not int(left, 16) or not int(right, 16):
        return False
    return distance(left, right) <= bits
