"""Which still picture some bytes begin like: by signature alone, with nothing but Python.

Publishers have no decoder, and may still say at once that a file is none.
"""

from __future__ import annotations

from enum import StrEnum

NO_PICTURE = (
    "not a still picture that can be read; send JPEG, PNG, WebP, AVIF, HEIC, GIF, TIFF or BMP"
)
"""What is said of bytes without a signature that we know."""


class ImageFormat(StrEnum):
    """The still pictures that we read; named as Pillow names them."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    WEBP = "WEBP"
    BMP = "BMP"
    TIFF = "TIFF"
    AVIF = "AVIF"
    HEIF = "HEIF"


_SIGNATURES = (
    (b"\xff\xd8\xff", ImageFormat.JPEG),
    (b"\x89PNG\r\n\x1a\n", ImageFormat.PNG),
    (b"GIF87a", ImageFormat.GIF),
    (b"GIF89a", ImageFormat.GIF),
    (b"BM", ImageFormat.BMP),
    (b"II*\x00", ImageFormat.TIFF),
    (b"MM\x00*", ImageFormat.TIFF),
    (b"II+\x00", ImageFormat.TIFF),
    (b"MM\x00+", ImageFormat.TIFF),
)
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def sniff(data: bytes) -> ImageFormat | None:
    """The format by signature, never by file name; None for all that is no still picture."""
    for signature, image_format in _SIGNATURES:
        if data.startswith(signature):
            return image_format
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return _sniff_isobmff(data) if data[4:8] == b"ftyp" else None


def _sniff_isobmff(data: bytes) -> ImageFormat | None:
    box = data[: min(int.from_bytes(data[:4], "big"), 256)]
    brands = {box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))}
    if brands & _AVIF_BRANDS:
        return ImageFormat.AVIF
    return ImageFormat.HEIF if brands & _HEIF_BRANDS else None
