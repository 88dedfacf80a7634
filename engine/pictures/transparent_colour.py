"""A decoded PNG in, its one transparent colour out: by the levels that its pixels have now."""

from __future__ import annotations

import io

from PIL import Image, ImageChops

_FINE_PIXELS = 25_000_000
"""A larger PNG of 16 bits is compared with its transparent colour by 8: it would be held twice."""


def clear_in_eight_bits(image: Image.Image, data: bytes, bits: int) -> None:
    """Tell a PNG's transparent colour in the levels that Pillow made of its samples, or as alpha.

    Args:
        image: decoded; it is changed.
        data: the file.
        bits: of a sample in the file.
    """
    clear = image.info.get("transparency")
    if bits == 16 and isinstance(clear, tuple):  # noqa: PLR2004 - bits of a sample
        if image.width * image.height <= _FINE_PIXELS:
            _add_alpha(image, data, clear)
            return
        image.info["transparency"] = tuple(level >> 8 for level in clear)
    if bits in {2, 4} and image.mode == "L" and isinstance(clear, int):
        image.info["transparency"] = clear * (255 // (2**bits - 1))


def _add_alpha(image: Image.Image, data: bytes, clear: tuple[int, ...]) -> None:
    """Make colours of 16 bits, of which Pillow keeps the upper halves, clear where both halves are.

    The lower halves are the upper ones of the same file read in the other order of bytes.
    """
    with Image.open(io.BytesIO(data), formats=["PNG"]) as lower:
        lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]
        lower.load()
        opaque = Image.new("L", image.size, 0)
        for half, levels in ((image, [x >> 8 for x in clear]), (lower, [x & 255 for x in clear])):
            for channel, level in enumerate(levels):
                unlike = [255 * (x != level) for x in range(256)]
                opaque = ImageChops.lighter(opaque, half.getchannel(channel).point(unlike))
    image.info.pop("transparency")
    image.putalpha(opaque)
