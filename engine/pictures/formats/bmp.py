"""Reads the size of a BMP from its header, whose fields have fixed places."""

# ruff: noqa: PLR2004 - the numbers are those of the BITMAPINFOHEADER family

from __future__ import annotations

import struct

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.formats.budget import HeaderBudget
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.signature import ImageFormat

_MIN_BYTES = 26


def read_bmp(data: bytes, max_frames: int, budget: HeaderBudget) -> ImageHeader:
    """Reads the picture's width and height. Raises `BadImage`, `struct.error`."""
    del max_frames
    budget.step()
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    core = header_bytes == 12  # OS/2's header has 16-bit sizes
    width, height = struct.unpack_from("<HH" if core else "<ii", data, 18)
    if len(data) < _MIN_BYTES:
        raise BadImage(RejectReason.TRUNCATED, "the BMP ends within its header")
    return ImageHeader(ImageFormat.BMP, abs(width), abs(height))
