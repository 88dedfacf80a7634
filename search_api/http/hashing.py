"""Bytes in, their digest out: in a thread where it takes so long that everybody else would wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
LONG_BYTES = 131_072
"""Below, hashing takes about as long as the hop to a thread and back (0.1 ms)."""


async def hashed(digest: Callable[[bytes], T], data: bytes) -> T:
    """What `digest` makes of `data`; Python's hashes let other threads run meanwhile."""
    if len(data) < LONG_BYTES:
        return digest(data)
    return await asyncio.to_thread(digest, data)
