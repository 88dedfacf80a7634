"""The id of a triple: the same wherever and whenever it is mined (docs/labels.md, 14)."""

from __future__ import annotations

from hashlib import sha256


def triple_id(
    rules_version: str, search_id: str, anchor_id: str, positive_id: str, negative_id: str
) -> str:
    """Derives the id of a triple: SHA-256 of what it is about, 64 hexadecimal digits."""
    named = f"{rules_version}|{search_id}|{anchor_id}|{positive_id}|{negative_id}"
    return sha256(named.encode()).hexdigest()
