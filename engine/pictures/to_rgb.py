"""A decoded picture of any mode in, sRGB out: alpha on white, 16-bit scaled, large ones reduced.

Works in horizontal bands, so that a large picture is never held twice in a wider mode.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from sightline.engine.pictures.colour import AS_STORED, Conversion

_BAND_PIXELS = 4_000_000
_ALPHA_MODES = {"RGBA", "RGBa", "LA", "La", "PA"}
_EIGHT_BIT, _SIXTEEN_BIT = 255.0, 65535.0


def rgb_on_white(
    image: Image.Image, *, detail: float, conversion: Conversion
) -> tuple[Image.Image, Conversion]:
    """RGB, reduced by a whole factor while the short side keeps `detail` pixels.

    Args:
        image: decoded, of any mode.
        detail: pixels that the short side must keep.
        conversion: of the stored colours to sRGB.

    Returns:
        The picture, and what of the conversion is still to be done: all of it for plain RGB, which
        its user makes smaller yet; nothing for other modes.
    """
    if image.mode == "RGB" and not _has_alpha(image):
        return _in_bands(image, detail, AS_STORED), conversion
    return _in_bands(image, detail, conversion), AS_STORED


def _in_bands(image: Image.Image, detail: float, conversion: Conversion) -> Image.Image:
    width, height = image.size
    factor = max(1, int(min(width, height) // max(1.0, detail)))
    scale = _scale_of(image)
    if width * height <= _BAND_PIXELS:
        return _band(image, factor, conversion, scale)
    out = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, _BAND_PIXELS // width // factor) * factor
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        out.paste(_band(band, factor, conversion, scale), (0, top // factor))
    return out


def _band(image: Image.Image, factor: int, conversion: Conversion, scale: float) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bit(image, scale)
    if _has_alpha(image):
        return _reduced(_on_white(image, conversion), factor)
    stored = image if image.mode == conversion.mode else image.convert(conversion.mode)
    return conversion.applied(_reduced(stored, factor))


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _ALPHA_MODES or "transparency" in image.info


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    return image if factor == 1 else image.reduce(factor)


def _on_white(image: Image.Image, conversion: Conversion) -> Image.Image:
    """Colours are converted before they mix with white, and mixed before they are reduced."""
    pixels = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(conversion.applied(pixels.convert("RGB")), mask=pixels.getchannel("A"))
    return white


def _eight_bit(image: Image.Image, scale: float) -> Image.Image:
    """Grey of 16 or more bits in 8, with alpha where one of its levels means transparent.

    Pillow's own conversion clips it to white.
    """
    stored = np.asarray(image)
    values = np.nan_to_num(stored.astype(np.float32)) * np.float32(scale)
    grey = Image.fromarray(np.clip(values, 0, _EIGHT_BIT).astype(np.uint8))
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return grey
    alpha = np.where(stored == clear, 0, 255).astype(np.uint8)
    return Image.merge("LA", (grey, Image.fromarray(alpha)))


def _scale_of(image: Image.Image) -> float:
    """Factor to 0-255: 16-bit by its mode, wider and float ones by the highest value there."""
    if image.mode.startswith("I;16"):
        return _EIGHT_BIT / _SIXTEEN_BIT
    if image.mode not in {"I", "F"}:
        return 1.0
    highest = float(np.nan_to_num(np.asarray(image, dtype=np.float32)).max(initial=0.0))
    if image.mode == "F" and highest <= 1.0:
        return _EIGHT_BIT
    return 1.0 if highest <= _EIGHT_BIT else _EIGHT_BIT / max(highest, _SIXTEEN_BIT)
