"""WebP: the canvas of its first chunk, and the frames of an animation."""

from __future__ import annotations

import struct

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.formats.budget import HeaderBudget
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.signature import ImageFormat


def read_webp(data: bytes, max_frames: int, budget: HeaderBudget) -> ImageHeader:
    """Size, and frames up to one past `max_frames`. Raises `BadImage`, `struct.error`."""
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader(ImageFormat.WEBP, width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageHeader(ImageFormat.WEBP, (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind != b"VP8X":
        raise BadImage(RejectReason.CORRUPT, "the WebP begins with an unknown chunk")
    sizes = struct.unpack_from("<I", data, 24)[0], struct.unpack_from("<I", data, 26)[0] >> 8
    at, frames = 12, 0
    while frames <= max_frames and at + 8 <= len(data):
        budget.step()
        frames += data[at : at + 4] == b"ANMF"
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length + length % 2
    width, height = (size & 0xFFFFFF for size in sizes)
    return ImageHeader(ImageFormat.WEBP, width + 1, height + 1, max(frames, 1))
