"""Which way up a picture is: from EXIF, XMP or TIFF tags to the transposition that rights it.

Read by hand rather than through Pillow: broken EXIF must never fail or warn, and a JPEG's
orientation is needed before anything is decoded.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from PIL import Image

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
_SHORT = 3
_MAX_ORIENTATION = 8
_XMP = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])")

TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def swaps_sides(orientation: int) -> bool:
    """Whether righting the picture makes its width its height."""
    return orientation >= 5  # noqa: PLR2004 - EXIF 2.32, 4.6.4: 5 to 8 lie on their side


def orientation_of_exif(exif: bytes) -> int:
    """The orientation 1-8 in the first directory of an EXIF block; 1 where it says nothing sane."""
    exif = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, entry)
            if tag == _ORIENTATION_TAG and kind == _SHORT:
                return value if UPRIGHT <= value <= _MAX_ORIENTATION else UPRIGHT
    except struct.error:
        return UPRIGHT
    return UPRIGHT


def orientation_of_decoded(image: Image.Image) -> int:
    """The orientation that a decoded picture's metadata tell: TIFF tag, EXIF, then XMP."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is not None:
        value = tags.get(_ORIENTATION_TAG, UPRIGHT)
        return value if isinstance(value, int) and 1 <= value <= _MAX_ORIENTATION else UPRIGHT
    exif = image.info.get("exif")
    if isinstance(exif, bytes) and (told := orientation_of_exif(exif)) != UPRIGHT:
        return told
    return _orientation_of_xmp(image.info)


def _orientation_of_xmp(info: dict[Any, Any]) -> int:
    for name in ("xmp", "XML:com.adobe.xmp"):
        packet = info.get(name, b"")
        raw = packet.encode() if isinstance(packet, str) else packet
        if isinstance(raw, bytes) and (match := _XMP.search(raw)):
            return int(match.group(1))
    return UPRIGHT
