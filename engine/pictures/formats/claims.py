"""What a header claims of its picture, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.engine.pictures.formats.metadata import UPRIGHT
from sightline.engine.pictures.formats.signature import ImageFormat


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header claims; size in stored pixels, before any rotation."""

    format: ImageFormat
    width: int
    height: int
    frames: int = 1
    orientation: int = UPRIGHT
    """Orientation 1-8 of a JPEG, by EXIF or XMP; other formats tell theirs after decoding."""
    channels: int = 3
    scans: int = 1
    bits: int = 8
    """Bits of each sample, where a PNG says so."""
    icc_profile: bytes | None = None
    """The colour profile of a JPEG, GIF or BMP, empty where its parts do not fit together; other
    formats tell theirs after decoding."""
    picture_at: tuple[tuple[int, int], ...] = ()
    """The spans of a JPEG's bytes, start and end, that its pixels depend on: no metadata."""
