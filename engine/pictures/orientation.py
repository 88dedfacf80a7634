"""Which way up a picture is: from EXIF, XMP or TIFF tags to the transposition that rights it."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image

from sightline.engine.pictures.formats.exif import (
    MAX_ORIENTATION,
    ORIENTATION_TAG,
    UPRIGHT,
    orientation_of_exif,
)

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


def orientation_of_decoded(image: Image.Image) -> int:
    """The orientation that a decoded picture's metadata tell: TIFF tag, EXIF, then XMP."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is not None:
        value = tags.get(ORIENTATION_TAG, UPRIGHT)
        return value if isinstance(value, int) and 1 <= value <= MAX_ORIENTATION else UPRIGHT
    exif = image.info.get("exif")
    told = orientation_of_exif(exif) if isinstance(exif, bytes) else None
    return _orientation_of_xmp(image.info) if told is None else told


def _orientation_of_xmp(info: dict[Any, Any]) -> int:
    for name in ("xmp", "XML:com.adobe.xmp"):
        packet = info.get(name, b"")
        raw = packet.encode() if isinstance(packet, str) else packet
        if isinstance(raw, bytes) and (match := _XMP.search(raw)):
            return int(match.group(1))
    return UPRIGHT
