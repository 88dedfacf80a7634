"""PNG: chunks to the end, since decoders read those behind the picture too."""

from __future__ import annotations

import struct

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.formats.budget import HeaderBudget
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.signature import ImageFormat


def read_png(data: bytes, max_frames: int, budget: HeaderBudget) -> ImageHeader:
    """Size, depth, and frames of an animation. Raises `BadImage`, `struct.error`."""
    del max_frames
    if data[12:16] != b"IHDR":
        raise BadImage(RejectReason.CORRUPT, "the PNG does not begin with its header chunk")
    width, height, bits = struct.unpack_from(">IIB", data, 16)
    at, frames, before_pixels = 8, 1, True
    while at + 8 <= len(data):
        budget.step()
        kind = data[at + 4 : at + 8]
        if kind == b"IEND":
            break
        if kind == b"IDAT":
            before_pixels = False
        if kind == b"acTL" and before_pixels:
            (frames,) = struct.unpack_from(">I", data, at + 8)
            before_pixels = False
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return ImageHeader(ImageFormat.PNG, width, height, max(frames, 1), bits=bits)
