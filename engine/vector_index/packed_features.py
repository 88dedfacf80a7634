"""What a network saw of pictures, as few bytes as will do, and back (docs/adr/0025).

A row is one code a feature, then four bytes of scale, a float32 with its lowest byte first. Most
networks average activations that are never negative, so codes are unsigned: feature = code · scale.
A row that has a negative feature says so by a negative scale: its codes are offset by half of their
range, which costs it one bit, and no other row anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightline.engine.records import GenerationSpec

Rows = NDArray[np.uint8]
Floats = NDArray[np.float32]
_SCALE = np.dtype("<f4")
_TINY = np.finfo(np.float32).tiny


class Codes(NamedTuple):
    """Rows taken apart: feature = (code - offset) · scale."""

    codes: NDArray[np.unsignedinteger]
    """(n, count)."""
    offset: Floats
    """(n, 1): 0, or half of the codes' range."""
    scale: Floats
    """(n, 1), never negative."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How many numbers there are of a picture, and how many bits are kept of each."""

    count: int
    bits: int
    """4, 8 or 16."""

    @classmethod
    def of(cls, spec: GenerationSpec) -> Packing | None:
        """How a generation keeps features; None: it keeps none."""
        if spec.features is None or spec.feature_bits is None:
            return None
        return cls(spec.features, spec.feature_bits)

    @property
    def width(self) -> int:
        """How many bytes a row has, the scale included."""
        return -(-self.count * self.bits // 8) + _SCALE.itemsize

    def pack(self, features: Floats) -> Rows:
        """float32 (n, count) to uint8 (n, width); a row never depends on others.

        Raises:
            ValueError: another shape, or numbers that are not finite.
        """
        if features.ndim != 2 or features.shape[1] != self.count:  # noqa: PLR2004
            raise ValueError(f"features of shape {features.shape}, (n, {self.count}) expected")
        if not np.isfinite(features).all():
            raise ValueError("features are not all finite numbers")
        signed = features.min(axis=1, keepdims=True, initial=0) < 0
        offset = np.where(signed, np.float32(1 << (self.bits - 1)), np.float32(0))
        top = np.where(signed, (1 << (self.bits - 1)) - 1, (1 << self.bits) - 1)
        scale = (np.abs(features).max(axis=1, keepdims=True, initial=0) / top).astype(np.float32)
        codes = np.rint(features / np.maximum(scale, _TINY)) + offset
        # Rounding the scale may carry the greatest feature half a step beyond its code.
        codes = np.clip(codes, 0, (1 << self.bits) - 1)
        told = np.where(signed, -scale, scale).astype(_SCALE)
        return np.concatenate([self._to_bytes(codes), told.view(np.uint8)], axis=1)

    def unpack(self, rows: Rows) -> Floats:
        """uint8 (n, width) to float32 (n, count): what was packed, to half a step of the scale."""
        codes, offset, scale = self.taken_apart(rows)
        features: Floats = (codes.astype(np.float32) - offset) * scale
        return features

    def taken_apart(self, rows: Rows) -> Codes:
        """uint8 (n, width) to the codes and what makes them features."""
        self.check(rows)
        body = np.ascontiguousarray(rows[:, : -_SCALE.itemsize])
        told = np.ascontiguousarray(rows[:, -_SCALE.itemsize :]).view(_SCALE).astype(np.float32)
        offset = np.where(np.signbit(told), np.float32(1 << (self.bits - 1)), np.float32(0))
        return Codes(self._from_bytes(body), offset, np.abs(told))

    def check(self, rows: Rows) -> None:
        """Do nothing where these are rows of this packing.

        Raises:
            ValueError: other bytes.
        """
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != self.width:  # noqa: PLR2004
            raise ValueError(
                f"packed features must be uint8 (n, {self.width}), not {rows.dtype} {rows.shape}"
            )

    def _to_bytes(self, codes: NDArray[np.floating]) -> Rows:
        if self.bits == 16:  # noqa: PLR2004
            return codes.astype("<u2").view(np.uint8)
        whole = codes.astype(np.uint8)
        if self.bits == 8:  # noqa: PLR2004
            return whole
        even = np.pad(whole, ((0, 0), (0, 1))) if self.count % 2 else whole
        pairs: Rows = even[:, 0::2] | even[:, 1::2] << np.uint8(4)
        return pairs

    def _from_bytes(self, body: Rows) -> NDArray[np.unsignedinteger]:
        if self.bits == 16:  # noqa: PLR2004
            return body.view("<u2")
        if self.bits == 8:  # noqa: PLR2004
            return body
        pairs = np.stack([body & np.uint8(15), body >> np.uint8(4)], axis=2)
        return pairs.reshape(len(body), -1)[:, : self.count]
