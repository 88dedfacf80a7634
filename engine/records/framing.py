"""How a picture becomes the square that a network sees; another framing is another vector space."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["bilinear", "bicubic"]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom; pixels."""

_SHORT_SIDE = 256 / 224
_BEFORE, _AFTER = "upright;srgb-by-profile;on-white", "detail=2"
"""What `prepare` does to every picture; a change of the pixels changes these words."""


@dataclass(frozen=True, slots=True)
class Framing:
    """Resize, antialiased, then the centre square; or the whole picture squeezed into one."""

    size: int
    """Side of the square, pixels."""
    short_side: int | Literal["stretch"] | None = None
    """What the picture's short side is resized to, pixels; None: size · 256/224, as torchvision's
    evaluation transforms do; `stretch`: both sides to the square's."""
    interpolation: Interpolation = "bilinear"
    """How pixels in between are made."""

    @property
    def digest(self) -> str:
        """Names all that `prepare` does with it: lower hex SHA-256."""
        if self.short_side == "stretch":
            fitted = f"stretch;{self.interpolation}-antialias"
        else:
            side = self.short_side or "256/224"
            fitted = f"short-side={side};{self.interpolation}-antialias;centre-crop"
        told = ";".join((_BEFORE, fitted, _AFTER, f"size={self.size}"))
        return hashlib.sha256(told.encode()).hexdigest()

    def seen(self, region: Box) -> Box:
        """The part of a region that the network sees.

        One resize of it gives the same pixels as resizing all and cropping then, by torchvision's
        rounding.
        """
        if self.short_side == "stretch":
            return region
        left, top, right, bottom = region
        width, height = right - left, bottom - top
        side = self.short_side or round(self.size * _SHORT_SIDE)
        across = (
            (side * width / height, float(side))
            if width > height
            else (side, side * height / width)
        )
        out_w, out_h = max(side, int(across[0])), max(side, int(across[1]))
        x, y = round((out_w - self.size) / 2.0), round((out_h - self.size) / 2.0)
        step_x, step_y = width / out_w, height / out_h
        return (
            left + x * step_x,
            top + y * step_y,
            left + (x + self.size) * step_x,
            top + (y + self.size) * step_y,
        )
