"""256-bit dHashes in, distances out: which pictures show the same thing to the eye."""

from __future__ import annotations

from collections.abc import Iterable

HASH_BITS = 256


def hash_bits(hex_hash: str | None) -> int:
    """A hex dHash as a number; 0 for none and for the all-zero one, which say nothing.

    The all-zero hash belongs to any picture without a gradient: by it a plain red and a plain blue
    picture would be the same.

    Raises:
        ValueError: it is not hexadecimal.
    """
    return int(hex_hash, 16) if hex_hash else 0


def distance(left: str, right: str) -> int:
    """How many of the 256 bits of two hex dHashes differ.

    Raises:
        ValueError: one of them is not hexadecimal.
    """
    return (int(left, 16) ^ int(right, 16)).bit_count()


def near_any(mine: int, others: Iterable[int], *, bits: int) -> bool:
    """Whether `mine` differs in at most `bits` bits from any of the others, none of which is 0."""
    # A plain loop: a page compares some 300 pairs, and a generator doubles what each costs.
    for other in others:  # noqa: SIM110
        if (mine ^ other).bit_count() <= bits:
            return True
    return False


def near_duplicates(left: str | None, right: str | None, *, bits: int) -> bool:
    """Whether two pictures differ in at most `bits` bits; a hash that says nothing is near none."""
    mine, other = hash_bits(left), hash_bits(right)
    return mine != 0 and other != 0 and near_any(mine, (other,), bits=bits)
