"""A decoded picture of any mode in, RGB out: alpha on white, 16-bit scaled, large ones reduced.

Works in horizontal bands, so that a large picture is never held twice in a wider mode.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

_BAND_PIXELS = 4_000_000
_ALPHA_MODES = {"RGBA", "RGBa", "LA", "La", "PA"}
_EIGHT_BIT, _SIXTEEN_BIT = 255.0, 65535.0


def rgb_on_white(image: Image.Image, *, detail: float) -> Image.Image:
    """RGB, reduced by a whole factor while the short side keeps at least `detail` pixels."""
    width, height = image.size
    factor = max(1, int(min(width, height) // max(1.0, detail)))
    if width * height <= _BAND_PIXELS:
        return _reduced(_flat(image), factor)
    deep = _scale_of(image)
    out = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, _BAND_PIXELS // width // factor) * factor
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        out.paste(_reduced(_flat(band, deep), factor), (0, top // factor))
    return out


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    return image if factor == 1 else image.reduce(factor)


def _flat(image: Image.Image, scale: float | None = None) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image, scale if scale is not None else _scale_of(image))
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        pixels = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(pixels, mask=pixels.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep(image: Image.Image, scale: float) -> Image.Image:
    """Grey of 16 or more bits; Pillow's own conversion clips it to white."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float32)) * np.float32(scale)
    return Image.fromarray(np.clip(values, 0, _EIGHT_BIT).astype(np.uint8)).convert("RGB")


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
