"""AVIF and HEIF: boxes up to `meta`, and the sizes that it names."""

from __future__ import annotations

import struct

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.formats.budget import HeaderBudget
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.signature import ImageFormat, sniff


def read_isobmff(data: bytes, max_frames: int, budget: HeaderBudget) -> ImageHeader:
    """The largest size that is named. Raises `BadImage`, `struct.error`."""
    del max_frames  # the decoder tells
    image_format = sniff(data) or ImageFormat.HEIF
    start, end = _meta_box(data, budget)
    width = height = 0
    at = data.find(b"ispe", start, end)
    while at >= 0:
        budget.step()
        claimed = struct.unpack_from(">II", data, at + 8)
        if claimed[0] * claimed[1] > width * height:
            width, height = claimed
        at = data.find(b"ispe", at + 4, end)
    return ImageHeader(image_format, width, height)


def _meta_box(data: bytes, budget: HeaderBudget) -> tuple[int, int]:
    at = 0
    while at + 8 <= len(data):
        budget.step()
        (length,) = struct.unpack_from(">I", data, at)
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
        end = at + length if length else len(data)
        if data[at + 4 : at + 8] == b"meta":
            return at, min(end, len(data))
        at = max(end, at + 8)
    raise BadImage(RejectReason.CORRUPT, "the file has no description of its picture")
