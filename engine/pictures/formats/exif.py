"""An EXIF block in, the orientation that it names out.

Read by hand rather than through Pillow: broken EXIF must never fail or warn, and a JPEG's
orientation is needed before anything is decoded.
"""

from __future__ import annotations

import struct

UPRIGHT = 1
MAX_ORIENTATION = 8
ORIENTATION_TAG = 0x0112
_WHOLE_NUMBERS = {3: "H", 4: "I", 8: "h", 9: "i"}
"""Types of two and four bytes: the tag should be a SHORT, and phones write LONG too."""


def orientation_of_exif(exif: bytes) -> int | None:
    """The orientation 1-8 in the first directory of an EXIF block; None where it names none.

    What it names but is no orientation means upright.
    """
    exif = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(order + "HH", exif, entry)
            if tag == ORIENTATION_TAG and kind in _WHOLE_NUMBERS:
                (value,) = struct.unpack_from(order + _WHOLE_NUMBERS[kind], exif, entry + 8)
                return value if UPRIGHT <= value <= MAX_ORIENTATION else UPRIGHT
    except struct.error:
        return None
    return None
