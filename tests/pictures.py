"""Small pictures for tests, drawn from a seed, and encoded as wanted."""

from __future__ import annotations

import io
import random
import struct
import zlib
from dataclasses import replace
from typing import Any

from PIL import Image, ImageDraw

from sightline.engine.pictures.colour import AS_STORED
from sightline.engine.pictures.pixels import Pixels, decode_stored
from sightline.engine.settings import DecodeSettings


def scene(width: int = 320, height: int = 240, seed: int = 3) -> Image.Image:
    """Smooth shapes on a gradient; never symmetric."""
    choose = random.Random(seed)
    down = Image.linear_gradient("L").resize((width, height))
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    picture = Image.merge("RGB", (down, across, across))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = choose.randrange(width), choose.randrange(height)
        colour = tuple(choose.randrange(256) for _ in range(3))
        draw.ellipse((x, y, x + width // 5, y + height // 4), fill=colour)
    return picture


def decoded_to_srgb(data: bytes) -> Pixels:
    """A file's pixels with nothing left to be done about their colours."""
    pixels = decode_stored(data, limits=DecodeSettings(), detail=448.0)
    return replace(pixels, image=pixels.to_srgb.applied(pixels.image), to_srgb=AS_STORED)


def encoded(picture: Image.Image, image_format: str, **options: Any) -> bytes:
    """The picture as a file of that format."""
    out = io.BytesIO()
    picture.save(out, image_format, **options)
    return out.getvalue()


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A part of a PNG: its length, its kind, what is in it, and the checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
