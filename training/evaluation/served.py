"""Vectors of one model, as trained and as served, in; whether they are the same model out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating]
_COLLAPSED = 1e-3
"""A dimension that varies by less than this share of the median one tells no pictures apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAsBuilt:
    """How the model that would be served compares with the one that was trained."""

    pictures: int
    """How many pictures both were given."""
    worst_cosine: float
    """The least similarity of a picture's two vectors; 0 where one is no vector at all."""
    finite: bool
    """Every number of the served vectors is one."""
    collapsed: int
    """Dimensions in which all pictures are served (nearly) the same."""
    unread: int = 0
    """How many more should have been given, and cannot be read any more."""

    @classmethod
    def of_nothing(cls, *, unread: int) -> Self:
        """What no picture says, where none can be read: nothing against it, nothing for it."""
        return cls(pictures=0, worst_cosine=1.0, finite=True, collapsed=0, unread=unread)


def compare_served(trained: Vectors, served: Vectors, *, unread: int = 0) -> ServedAsBuilt:
    """The same pictures as trained (n, d) and as served (n, d), row by row.

    Args:
        trained: by the model as it was trained.
        served: by the model as it would be served.
        unread: how many pictures more should have been compared, and cannot be read.

    Raises:
        ValueError: the two differ in shape, so they are not of one model.
    """
    if trained.shape != served.shape:
        raise ValueError(f"trained {trained.shape} and served {served.shape} are not alike")
    finite = bool(np.isfinite(served).all())
    cosines = np.nan_to_num(_cosines(trained.astype(np.float64), served.astype(np.float64)))
    return ServedAsBuilt(
        pictures=len(served),
        worst_cosine=float(cosines.min(initial=1.0)),
        finite=finite,
        collapsed=_collapsed(served) if finite and len(served) > 1 else 0,
        unread=unread,
    )


def _cosines(one: Vectors, other: Vectors) -> Vectors:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    products: Vectors = np.einsum("ij,ij->i", one, other)
    cosines: Vectors = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return cosines


def _collapsed(served: Vectors) -> int:
    spread = served.std(axis=0)
    return int((spread <= _COLLAPSED * np.median(spread)).sum())
