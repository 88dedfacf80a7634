"""The content type of a picture's bytes, as far as its file's name tells."""

from __future__ import annotations

import mimetypes

OCTETS = "application/octet-stream"
"""What is said of bytes whose kind nobody named."""


def content_type_of(path: str) -> str:
    """The content type that a file's suffix stands for, else `OCTETS`; a hint, never trusted."""
    return mimetypes.guess_type(path)[0] or OCTETS
