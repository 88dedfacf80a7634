"""A position-bias curve as an SVG: points, intervals, and the places that are not known."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from sightline.engine.label_data.propensity import PositionBias, PropensityCurve

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 48, 48
INK, FAINT, LINE, BAND = "#1f2933", "#9aa5b1", "#0b6fbf", "#bcdcf5"
LABELS = 12


def propensity_picture(curve: PropensityCurve) -> bytes:
    """The curve and its intervals, as a document that needs nothing else."""
    parts = [*_frame(curve), *_points(curve)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">'
    )
    return "\n".join([head, *parts, "</svg>", ""]).encode()


class _Scale:
    def __init__(self, curve: PropensityCurve) -> None:
        self.places = max((place.position for place in curve.positions), default=1)
        fitted = [place.high or 0.0 for place in curve.positions if place.fitted]
        self.top = max(1.0, *fitted) if fitted else 1.0

    def x(self, position: float) -> float:
        span = max(1, self.places - 1)
        return round(LEFT + (position - 1) / span * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM), 1)


def _frame(curve: PropensityCurve) -> Iterator[str]:
    scale = _Scale(curve)
    title = "Position bias: examined here ÷ examined at place 1, with 95 % intervals"
    told = (
        f"{curve.searches} searches ({curve.explored} of them varied by chance), "
        f"{curve.pairs} images seen at several places, "
        f"{curve.anchors} anchors"
    )
    if not curve.fitted:
        told += " — too little is known: every weight is 1"
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    yield f'<text x="{LEFT}" y="20" font-weight="bold">{escape(title)}</text>'
    yield f'<text x="{LEFT}" y="37" fill="{FAINT}">{escape(told)}</text>'
    for step in range(5):
        value = scale.top * step / 4
        y = scale.y(value)
        yield f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#e4e7eb"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value:.2f}</text>'
    every = -(-scale.places // LABELS)
    for position in range(1, scale.places + 1, every):
        x = scale.x(position)
        yield f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{position}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">place on the page</text>'


def _points(curve: PropensityCurve) -> Iterator[str]:
    scale = _Scale(curve)
    fitted = [place for place in curve.positions if place.fitted]
    for place in curve.positions:
        yield _point(place, scale)
    line = " ".join(f"{scale.x(p.position)},{scale.y(p.propensity or 0)}" for p in fitted)
    yield f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>'


def _point(place: PositionBias, scale: _Scale) -> str:
    x = scale.x(place.position)
    if not place.fitted:
        told = escape(f"place {place.position}: {place.why}")
        y = scale.y(0)
        return (
            f'<circle cx="{x}" cy="{y}" r="3" fill="none" stroke="{FAINT}">'
            f"<title>{told}</title></circle>"
        )
    low, high = scale.y(place.low or 0), scale.y(place.high or 0)
    told = f"place {place.position}: {place.propensity:.3f} ({place.low:.3f} to {place.high:.3f})"
    return (
        f'<path d="M{x} {low}V{high}" stroke="{BAND}" stroke-width="7"/>'
        f'<circle cx="{x}" cy="{scale.y(place.propensity or 0)}" r="3.5" fill="{LINE}">'
        f"<title>{escape(told)}</title></circle>"
    )
