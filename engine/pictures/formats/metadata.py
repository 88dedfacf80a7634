"""A picture's EXIF and XMP in, the orientation that they name out.

Read by hand rather than through Pillow: broken metadata must never fail or warn, and a JPEG's
orientation is needed before anything is decoded. The result is Pillow's: what it would turn a
picture by.
"""

from __future__ import annotations

import re
import struct

UPRIGHT = 1
MAX_ORIENTATION = 8
EXIF_PREFIX = b"Exif\x00\x00"
_ORIENTATION_TAG = 0x0112
_WHOLE_NUMBERS = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""By type: the tag should be a SHORT, and phones write LONG too."""
_INLINE_BYTES = 4
"""What takes more lies elsewhere; the entry has its place."""
_XMP = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([0-9])")


def orientation_of(exif: bytes | None, xmp: bytes | None) -> int:
    """The orientation 1-8 that EXIF names, or XMP where EXIF names none; else upright."""
    told = None if exif is None else _orientation_of_exif(exif)
    if told is None and xmp is not None and (match := _XMP.search(xmp)):
        told = int(match.group(1))
    return told if told is not None and UPRIGHT <= told <= MAX_ORIENTATION else UPRIGHT


def _orientation_of_exif(exif: bytes) -> int | None:
    """The number in the first directory of an EXIF block, whether it is an orientation or not."""
    exif = exif.removeprefix(EXIF_PREFIX).removeprefix(EXIF_PREFIX)  # some write it twice
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind, count, elsewhere = struct.unpack_from(order + "HHII", exif, entry)
            if tag == _ORIENTATION_TAG and kind in _WHOLE_NUMBERS:
                number = order + _WHOLE_NUMBERS[kind]
                size = count * struct.calcsize(number)
                place = entry + 8 if size <= _INLINE_BYTES else elsewhere
                if 0 < size <= len(exif) - place:
                    return int(struct.unpack_from(number, exif, place)[0])
    except struct.error:
        return None
    return None
