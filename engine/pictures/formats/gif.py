"""GIF: blocks and their sub-blocks, up to one frame more than is accepted."""

from __future__ import annotations

import struct

from sightline.engine.pictures.formats.budget import HeaderBudget
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.signature import ImageFormat

_ICC = b"\x0bICCRGBG1012"
"""An application extension as ICC.1 B.5 has it: the profile follows in sub-blocks."""


def read_gif(data: bytes, max_frames: int, budget: HeaderBudget) -> ImageHeader:
    """The size that holds every frame, and their count. Raises `BadImage`, `struct.error`."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, frames, profile = 13 + _palette_bytes(flags), 0, None
    while frames <= max_frames and data[at : at + 1] not in {b";", b""}:
        budget.step()
        if data[at] == ord("!"):
            start, at = at + 2, _after_sub_blocks(data, at + 2, budget)
            if profile is None and data.startswith(_ICC, start):
                profile = _joined(data, start + len(_ICC), at, budget)
            continue
        if data[at] != ord(","):
            at += 1  # as decoders do, one byte at a time
            continue
        if at + 10 > len(data):
            break
        left, top, frame_width, frame_height, frame_flags = struct.unpack_from(
            "<HHHHB", data, at + 1
        )
        width, height = max(width, left + frame_width), max(height, top + frame_height)
        frames += 1
        at = _after_sub_blocks(data, at + 11 + _palette_bytes(frame_flags), budget)
    return ImageHeader(ImageFormat.GIF, width, height, max(frames, 1), icc_profile=profile)


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, at: int, budget: HeaderBudget) -> int:
    while at < len(data) and data[at]:
        budget.step()
        at += 1 + data[at]
    return at + 1


def _joined(data: bytes, at: int, end: int, budget: HeaderBudget) -> bytes:
    """What lies in sub-blocks; they are passed over a second time, and paid for."""
    parts = []
    while at < end - 1 and data[at : at + 1] not in {b"\0", b""}:
        budget.step()
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts)
