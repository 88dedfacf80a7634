"""Encoded bytes in, what their header claims out: format, size, frames; nothing is decoded.

The dimensions are judged before any decoder sees the bytes, since a few bytes can claim gigapixels,
and the walk over the header is bounded by the file's size (docs/adr/0016). Where a header is too
broken to read, the walkers stop and leave the verdict to the decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.formats.bmp import read_bmp
from sightline.engine.pictures.formats.budget import HeaderBudget
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.gif import read_gif
from sightline.engine.pictures.formats.isobmff import read_isobmff
from sightline.engine.pictures.formats.jpeg import read_jpeg
from sightline.engine.pictures.formats.png import read_png
from sightline.engine.pictures.formats.signature import NO_PICTURE, ImageFormat, sniff
from sightline.engine.pictures.formats.tiff import read_tiff
from sightline.engine.pictures.formats.webp import read_webp

_READERS: dict[ImageFormat, Callable[[bytes, int, HeaderBudget], ImageHeader]] = {
    ImageFormat.JPEG: read_jpeg,
    ImageFormat.PNG: read_png,
    ImageFormat.GIF: read_gif,
    ImageFormat.WEBP: read_webp,
    ImageFormat.BMP: read_bmp,
    ImageFormat.TIFF: read_tiff,
    ImageFormat.AVIF: read_isobmff,
    ImageFormat.HEIF: read_isobmff,
}
_OF_SMALL_PARTS = {ImageFormat.PNG, ImageFormat.GIF, ImageFormat.WEBP}


def read_header(data: bytes, *, max_frames: int) -> ImageHeader:
    """What the bytes claim to be; frames are counted up to one past `max_frames`.

    Raises:
        BadImage: not a still picture that we read, a header without a size, or one of more parts
            than a file of this size has.
    """
    image_format = sniff(data)
    if image_format is None:
        raise BadImage(RejectReason.UNSUPPORTED_MEDIA, f"this is {NO_PICTURE}")
    budget = HeaderBudget(len(data), of_small_parts=image_format in _OF_SMALL_PARTS)
    try:
        return _READERS[image_format](data, max_frames, budget)
    except (struct.error, IndexError, OverflowError) as error:  # Overflow: a place past 2**63
        raise BadImage(
            RejectReason.TRUNCATED, f"the {image_format} ends within its header; send it whole"
        ) from error
