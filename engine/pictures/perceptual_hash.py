"""A picture in, a 256-bit difference hash out: near-duplicates differ in few of its bits.

dHash (N. Krawetz, "Kind of Like That", 2013) on a 17 x 16 grey thumbnail: each bit says whether
a pixel is brighter than its right neighbour. 64 bits took unlike photos for equal, 256 do not.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from sightline.engine.pictures.colour import AS_STORED, Conversion
from sightline.engine.records.framing import Box

_COLUMNS, _ROWS = 16, 16


def perceptual_hash(
    image: Image.Image, box: Box | None = None, to_srgb: Conversion = AS_STORED
) -> str:
    """64 lower-case hex digits, row by row, most significant bit leftmost.

    Args:
        image: an upright RGB picture of any size.
        box: left, top, right, bottom in pixels of `image`; none: all of it.
        to_srgb: what its colours mean.
    """
    small = image.resize(
        (_COLUMNS + 1, _ROWS), Image.Resampling.BILINEAR, box=box, reducing_gap=3.0
    )
    grey = np.asarray(to_srgb.applied(small).convert("L"))
    return np.packbits(grey[:, :-1] > grey[:, 1:]).tobytes().hex()
