"""TIFF and BigTIFF: the first directory's entries, and the chain of directories."""

# ruff: noqa: PLR2004 - the numbers are those of TIFF 6.0 and BigTIFF

from __future__ import annotations

import struct
from dataclasses import dataclass

from sightline.engine.pictures.formats.budget import HeaderBudget
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.signature import ImageFormat

_SIDES = (256, 257, 322, 323)
"""Width and height of the picture, and of each of its tiles."""
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}
_BYTES_OF = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BYTES_OF |= {16: 8, 17: 8, 18: 8}


@dataclass(frozen=True, slots=True)
class _Layout:
    order: str
    offset: str
    count: str
    entry_bytes: int
    value_at: int

    @classmethod
    def of(cls, data: bytes) -> _Layout:
        order = "<" if data[:2] == b"II" else ">"
        if data[2:4] in {b"+\x00", b"\x00+"}:
            return cls(order, order + "Q", order + "Q", 20, 12)
        return cls(order, order + "I", order + "H", 12, 8)


def read_tiff(data: bytes, max_frames: int, budget: HeaderBudget) -> ImageHeader:
    """Size of the first page, and pages up to one past `max_frames`.

    Raises:
        BadImage: more entries, or more bytes named by them, than a file of this size has.
        struct.error: the file ends within its first directory.
    """
    layout = _Layout.of(data)
    (at,) = struct.unpack_from(layout.offset, data, 8 if layout.entry_bytes == 20 else 4)
    size = _size(data, at, layout, budget)
    seen = set[int]()
    while at and at not in seen and len(seen) <= max_frames:
        budget.step()
        seen.add(at)
        if at + 8 > len(data):
            break
        (entries,) = struct.unpack_from(layout.count, data, at)
        end = at + struct.calcsize(layout.count) + entries * layout.entry_bytes
        if end + struct.calcsize(layout.offset) > len(data):
            break
        (at,) = struct.unpack_from(layout.offset, data, end)
    return ImageHeader(ImageFormat.TIFF, *size, frames=max(len(seen), 1))


def _size(data: bytes, at: int, layout: _Layout, budget: HeaderBudget) -> tuple[int, int]:
    """Width and height, of a tile where those are larger: a decoder unpacks the whole of each tile.

    Pays for the bytes of every entry, which decoders copy out.
    """
    (entries,) = struct.unpack_from(layout.count, data, at)
    found: dict[int, int] = {}
    first = at + struct.calcsize(layout.count)
    last = min(first + entries * layout.entry_bytes, len(data) - layout.entry_bytes + 1)
    for entry in range(first, last, layout.entry_bytes):
        tag, kind = struct.unpack_from(layout.order + "HH", data, entry)
        (count,) = struct.unpack_from(layout.offset, data, entry + 4)
        budget.step(min(count * _BYTES_OF.get(kind, 0), len(data)))
        if tag in _SIDES:
            code = layout.order + _WHOLE.get(kind, "H")
            (found[tag],) = struct.unpack_from(code, data, entry + layout.value_at)
    width, height, *tile = (found.get(tag, 0) for tag in _SIDES)
    if not width or not height:
        return width, height
    return max(width, tile[0]), max(height, tile[1])
