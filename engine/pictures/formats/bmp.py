"""Reads the size of a BMP from its header, whose fields have fixed places."""

# ruff: noqa: PLR2004 - the numbers are those of the BITMAPINFOHEADER family

from __future__ import annotations

import struct

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.formats.budget import HeaderBudget
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.signature import ImageFormat

_MIN_BYTES = 26
_COMPRESSION_AT = 30
_RUN_LENGTHS = {1, 2}
_V5_BYTES, _COLOUR_SPACE_AT, _PROFILE_AT = 124, 70, 126
_EMBEDDED = b"DEBM"
"""`PROFILE_EMBEDDED`, `MBED` in little-endian order."""
MAX_RUN_BYTES = 131_072
"""Pillow reads run lengths in Python: 32 MiB of them held the interpreter's lock for 9 s."""


def read_bmp(data: bytes, max_frames: int, budget: HeaderBudget) -> ImageHeader:
    """Reads the picture's width and height. Raises `BadImage`, `struct.error`."""
    del max_frames
    budget.step()
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    core = header_bytes == 12  # OS/2's header has 16-bit sizes
    width, height = struct.unpack_from("<HH" if core else "<ii", data, 18)
    if len(data) < _MIN_BYTES:
        raise BadImage(RejectReason.TRUNCATED, "the BMP ends within its header")
    if not core and len(data) > MAX_RUN_BYTES and _compression(data) in _RUN_LENGTHS:
        raise BadImage(
            RejectReason.TOO_MANY_BYTES,
            f"a BMP of run lengths may have {MAX_RUN_BYTES:,} bytes; save it as PNG",
        )
    profile = _profile(data) if header_bytes == _V5_BYTES else None
    return ImageHeader(ImageFormat.BMP, abs(width), abs(height), icc_profile=profile)


def _profile(data: bytes) -> bytes | None:
    """The embedded profile, cut where the file ends; one that is linked is in no file of ours."""
    if data[_COLOUR_SPACE_AT : _COLOUR_SPACE_AT + 4] != _EMBEDDED:
        return None
    offset, size = struct.unpack_from("<II", data, _PROFILE_AT)
    return data[14 + offset : 14 + offset + size]


def _compression(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, _COMPRESSION_AT)[0])
