"""Which way up a decoded picture is, and the transposition that rights it."""

from __future__ import annotations

from typing import Any

from PIL import Image

from sightline.engine.pictures.formats.metadata import UPRIGHT, orientation_of

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
    """The orientation by which a picture that Pillow has loaded is still to be turned."""
    if hasattr(image, "tag_v2"):
        return UPRIGHT  # Pillow turns a TIFF while it loads it
    return orientation_of(_exif(image.info), _xmp(image.info))


def _exif(info: dict[Any, Any]) -> bytes | None:
    exif = info.get("exif")
    if isinstance(exif, bytes):
        return exif
    return _raw_profile(info.get("Raw profile type exif"))


def _raw_profile(text: object) -> bytes | None:
    """EXIF that ImageMagick keeps in a PNG as text: two lines that tell what and how long, hex."""
    try:
        return bytes.fromhex(text.split("\n", 3)[3]) if isinstance(text, str) else None
    except (IndexError, ValueError):
        return None


def _xmp(info: dict[Any, Any]) -> bytes | None:
    packet = info.get("XML:com.adobe.xmp") or info.get("xmp")
    if isinstance(packet, str):
        return packet.encode(errors="replace")
    return packet if isinstance(packet, bytes) else None
