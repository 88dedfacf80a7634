"""Which partition a key falls on, as Kafka's clients do it, and where a group starts in one."""

from __future__ import annotations

from functools import lru_cache

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995
_R = 24
_SEED = 0x9747B28C


def _mixed(word: int) -> int:
    word = (word * _M) & _MASK
    word ^= word >> _R
    return (word * _M) & _MASK


def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, with Kafka's seed (Austin Appleby's algorithm)."""
    whole = len(data) & ~3
    digest = _SEED ^ len(data)
    for start in range(0, whole, 4):
        digest = (digest * _M) & _MASK ^ _mixed(int.from_bytes(data[start : start + 4], "little"))
    if whole < len(data):
        digest = ((digest ^ int.from_bytes(data[whole:], "little")) * _M) & _MASK
    digest ^= digest >> 13
    digest = (digest * _M) & _MASK
    return digest ^ (digest >> 15)


@lru_cache(maxsize=65_536)
def partition_of(key: str, partitions: int) -> int:
    """The partition of a key among so many."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def committed_within(committed: int, *, end: int) -> int | None:
    """The offset that a group committed; None: it has none, or one of a topic made anew since.

    Args:
        committed: what the broker tells; negative: nothing.
        end: where the log ends. What lies past it was committed of an earlier topic of that name.
    """
    return committed if 0 <= committed <= end else None


def start_within(committed: int, *, start: int, end: int) -> int:
    """The offset that a group committed, or the log's start if it lies outside the log."""
    return max(start, committed_within(committed, end=end) or start)
