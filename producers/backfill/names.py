"""File names as they may be printed: whatever bytes somebody named a file with."""

from __future__ import annotations


def printable(name: str) -> str:
    """The name with what no terminal should get (control characters, broken UTF-8) escaped."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )
