"""A catalogue that the project draws itself, for a demo where there are no photos.

Each picture is a still life of one kind of thing (`KINDS`) in one colour on a textured ground, with
its own light, size, place and blur, so that neighbours in the index are things of a kind.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter

SIDE_PX = 320
COLOURS = {
    "red": (196, 48, 43),
    "orange": (232, 132, 32),
    "yellow": (236, 202, 58),
    "green": (66, 140, 72),
    "blue": (45, 98, 178),
    "violet": (122, 74, 160),
}
KINDS = ("ball", "box", "star", "ring", "bean", "stripes")


@dataclass(frozen=True, slots=True)
class SyntheticPhoto:
    """One picture that was drawn: its file name and its JPEG bytes."""

    name: str
    jpeg: bytes


def synthetic_photos(count: int, *, seed: int = 7) -> Iterator[SyntheticPhoto]:
    """Draw `count` pictures; the same seed draws the same ones."""
    random_of = random.Random(seed)  # noqa: S311 - drawing, not secrets
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        colour = random_of.choice(list(COLOURS))
        jpeg = still_life(kind, COLOURS[colour], random_of)
        yield SyntheticPhoto(f"{kind}-{colour}-{number:05d}.jpg", jpeg)


def still_life(kind: str, colour: tuple[int, int, int], random_of: random.Random) -> bytes:
    """Draws one picture of a kind of thing in a colour (RGB); its JPEG bytes."""
    buffer = io.BytesIO()
    _draw(kind, colour, random_of).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _draw(kind: str, colour: tuple[int, int, int], random_of: random.Random) -> Image.Image:
    image = _ground(random_of)
    draw = ImageDraw.Draw(image)
    radius = random_of.uniform(0.18, 0.36) * SIDE_PX
    x = SIDE_PX / 2 + random_of.uniform(-0.15, 0.15) * SIDE_PX
    y = SIDE_PX / 2 + random_of.uniform(-0.15, 0.15) * SIDE_PX
    turn = random_of.uniform(0, math.tau)
    shadow = _shape(kind, x + radius * 0.12, y + radius * 0.16, radius, turn)
    _paint(draw, kind, shadow, tuple(channel // 3 for channel in image.getpixel((5, 5))), radius)  # type: ignore[union-attr]
    _paint(draw, kind, _shape(kind, x, y, radius, turn), _jitter(colour, random_of), radius)
    return image.filter(ImageFilter.GaussianBlur(random_of.uniform(0, 1.6)))


def _ground(random_of: random.Random) -> Image.Image:
    tone = random_of.randrange(120, 235)
    coarse = Image.new("RGB", (16, 16))
    coarse.putdata(
        [
            tuple(min(255, max(0, tone + random_of.randrange(-14, 15))) for _ in "rgb")
            for _ in range(256)
        ]
    )
    return coarse.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)


def _jitter(colour: tuple[int, int, int], random_of: random.Random) -> tuple[int, ...]:
    light = random_of.uniform(0.75, 1.2)
    return tuple(min(255, int(channel * light)) for channel in colour)


def _shape(kind: str, x: float, y: float, radius: float, turn: float) -> list[tuple[float, float]]:
    corners = {"box": 4, "star": 10, "bean": 24, "stripes": 4}.get(kind, 48)
    points = []
    for corner in range(corners):
        angle = turn + corner * math.tau / corners
        reach = radius * _reach(kind, corner, corners)
        points.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    return points


def _reach(kind: str, corner: int, corners: int) -> float:
    if kind == "star":
        return 1.0 if corner % 2 == 0 else 0.45
    if kind == "bean":
        return 0.35 + 0.65 * abs(math.cos(corner * math.pi / corners))
    return 1.0


def _paint(
    draw: ImageDraw.ImageDraw,
    kind: str,
    points: list[tuple[float, float]],
    colour: tuple[int, ...],
    radius: float,
) -> None:
    if kind == "ring":
        draw.line([*points, points[0]], fill=colour, width=int(radius * 0.35), joint="curve")
    elif kind == "stripes":
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = points
        for step in range(5):
            share = step / 4
            start = (x0 + (x3 - x0) * share, y0 + (y3 - y0) * share)
            end = (x1 + (x2 - x1) * share, y1 + (y2 - y1) * share)
            draw.line([start, end], fill=colour, width=max(3, int(radius * 0.16)))
    else:
        draw.polygon(points, fill=colour)
