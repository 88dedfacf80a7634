"""UUIDv7 (RFC 9562 §5.7): ids that sort by when they were made."""

from __future__ import annotations

import secrets
import time
import uuid

_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62


def uuid7() -> str:
    """A new id: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    bits = (milliseconds & (2**48 - 1)) << 80 | _VERSION | secrets.randbits(12) << 64
    return str(uuid.UUID(int=bits | _VARIANT | secrets.randbits(62)))
