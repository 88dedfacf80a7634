"""Uploaded bytes in; the network's crop, or a clean rendition for browsers, out.

The preprocess of every model (its digest is part of the vector space): upright, sRGB on white, then
what the network's `Framing` says.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.engine.pictures.colour import ColourUse
from sightline.engine.pictures.perceptual_hash import perceptual_hash
from sightline.engine.pictures.pixels import decode_stored
from sightline.engine.records.framing import Box, Framing
from sightline.engine.settings import DecodeSettings
from sightline.schemas.searches import CropBox

_DETAIL = 2.0
"""Decode at no less than twice the crop: off by 6 of 255 levels at most, in a fifth of the time."""
_RENDITION_QUALITY = 85
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What the pipeline needs of a picture."""

    crop: NDArray[np.uint8]
    """(size, size, 3), RGB, contiguous, not to be written to."""
    perceptual_hash: str
    """64 hex digits: 256-bit dHash of the whole upright picture, or of the box."""
    width: int
    """The width of the whole upright picture, in pixels."""
    height: int
    """The height of the whole upright picture, in pixels."""
    colours: ColourUse = ColourUse.NONE
    """What was done with its embedded colour profile."""


def prepare(
    data: bytes, *, limits: DecodeSettings, framing: Framing, box: CropBox | None = None
) -> PreparedImage:
    """Decode, right, crop and hash one picture; equal arguments give equal results.

    Args:
        data: the encoded file.
        limits: bounds, checked before anything is decoded.
        framing: the square that the network sees.
        box: the part to look at; none: the whole picture.

    Raises:
        BadImage: with the machine-readable reason and a sentence for a person.
    """
    part = 1.0 if box is None else min(box.w, box.h)
    pixels = decode_stored(data, limits=limits, detail=_DETAIL * framing.size / part)
    region = _region(pixels.image, box)
    square = (framing.size, framing.size)
    crop = pixels.image.resize(square, _FILTERS[framing.interpolation], box=framing.seen(region))
    return PreparedImage(
        crop=np.asarray(pixels.to_srgb.applied(crop)),
        perceptual_hash=perceptual_hash(pixels.image, region, pixels.to_srgb),
        width=pixels.width,
        height=pixels.height,
        colours=pixels.colours,
    )


def render(data: bytes, *, limits: DecodeSettings, max_side: int) -> bytes:
    """A JPEG for browsers: upright, sRGB, at most `max_side` long, no metadata, nothing trailing.

    Never enlarges; equal arguments give equal bytes.

    Raises:
        BadImage: as `prepare`.
    """
    pixels = decode_stored(data, limits=limits, detail=float(max_side))
    image = pixels.image
    image.thumbnail((max_side, max_side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    image = pixels.to_srgb.applied(image)
    out = io.BytesIO()
    image.info.clear()
    image.save(out, "JPEG", quality=_RENDITION_QUALITY, optimize=True)
    return out.getvalue()


def _region(image: Image.Image, box: CropBox | None) -> Box:
    """The box in pixels of the decoded picture, at least one pixel each way."""
    width, height = image.size
    if box is None:
        return (0.0, 0.0, float(width), float(height))
    left, top = min(box.x * width, width - 1.0), min(box.y * height, height - 1.0)
    right = min(width, max(left + 1.0, (box.x + box.w) * width))
    bottom = min(height, max(top + 1.0, (box.y + box.h) * height))
    return (left, top, float(right), float(bottom))
