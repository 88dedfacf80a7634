"""A learning curve as an SVG that needs nothing else: the loss of each step, and its course."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.training.loop.training import Curve

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 40, 40
INK, FAINT, GRID, LINE = "#1f2933", "#9fb8cc", "#e4e7eb", "#0b6fbf"
SMOOTHED, STEPS_OF_GRID = 15, 4


def curve_picture(curve: Curve) -> bytes:
    """Draw each step's loss faintly, and over it the mean of fifteen steps."""
    losses = curve.losses.astype(np.float64)
    top = float(losses.max(initial=1e-6))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">'
    )
    parts = [
        head,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-weight="bold">InfoNCE in nats, by step</text>',
        *(_level(top * level / STEPS_OF_GRID, top) for level in range(STEPS_OF_GRID + 1)),
        _line(losses, top, FAINT, 1),
        _line(smoothed(losses), top, LINE, 2),
        f'<text x="{LEFT}" y="{HEIGHT - 12}">1</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 12}" text-anchor="end">{len(losses)}</text>',
        "</svg>",
        "",
    ]
    return "\n".join(parts).encode()


def smoothed(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The mean of each value and the seven on either side, as far as there are any, (n,)."""
    window = np.ones(SMOOTHED)
    sums = np.convolve(values, window)[SMOOTHED // 2 :][: len(values)]
    return sums / np.convolve(np.ones(len(values)), window)[SMOOTHED // 2 :][: len(values)]


def _level(value: float, top: float) -> str:
    y = _y(value, top)
    return (
        f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="{GRID}"/>'
        f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value:.2f}</text>'
    )


def _line(values: np.ndarray, top: float, colour: str, width: int) -> str:
    step = (WIDTH - LEFT - RIGHT) / max(1, len(values) - 1)
    points = " ".join(f"{LEFT + at * step:.1f},{_y(v, top)}" for at, v in enumerate(values))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM), 1)
