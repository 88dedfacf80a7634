"""A small world to learn in: pictures of a few kinds, and clicks on pictures of one's own kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.projections import Projection
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.pairs import ClickPairs

WIDTH, DIMENSIONS, NOISE = 32, 16, 6.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """Pictures whose kind shows in a few features, and whose other features only disturb."""

    features: PictureFeatures
    kinds: NDArray[np.int64]
    start: Projection
    pairs: ClickPairs


def world(*, kinds: int = 8, each: int = 12, clicks: int = 200, seed: int = 0) -> World:
    """Draw pictures, a projection that sees more noise than kind, and clicks on equal kinds."""
    drawn = np.random.default_rng(seed)
    kind = np.repeat(np.arange(kinds), each)
    centres = drawn.normal(size=(kinds, WIDTH))
    noise = drawn.normal(size=(len(kind), WIDTH)) * np.where(np.arange(WIDTH) < 8, NOISE, 0.7)
    pictures = PictureFeatures(
        images=tuple(f"i{at:04}" for at in range(len(kind))),
        features=(centres[kind] + noise).astype(np.float32),
        hashes=tuple(drawn.bytes(32).hex() for _ in kind),
    )
    matrix = np.linalg.qr(drawn.normal(size=(WIDTH, DIMENSIONS)))[0].astype(np.float32)
    start = Projection(pictures.features.mean(axis=0), matrix)
    anchor = drawn.integers(0, len(kind), clicks)
    positive = kind[anchor] * each + (anchor + drawn.integers(1, each, clicks)) % each
    edges = np.stack([anchor, positive], axis=1)
    return World(features=pictures, kinds=kind, start=start, pairs=clicked(pictures.images, edges))


def clicked(
    images: tuple[str, ...], edges: NDArray[np.integer], *, negatives: tuple[int, ...] = ()
) -> ClickPairs:
    """Pairs from rows of (anchor, positive), a search and a minute for each.

    Args:
        images: ids.
        edges: (n, 2) rows of `images`.
        negatives: the same for every pair.
    """
    count = len(edges)
    return ClickPairs(
        images=images,
        anchor=edges[:, 0].astype(np.int32),
        positive=edges[:, 1].astype(np.int32),
        negative_starts=np.arange(count + 1) * len(negatives),
        negatives=np.tile(np.asarray(negatives, np.int32), count),
        weight=np.ones(count, np.float32),
        grade=np.full(count, 3, np.int8),
        issued_at_ms=60_000 * np.arange(count),
        search=tuple(f"s{at:05}" for at in range(count)),
    )


class Colours:
    """A runtime of sixteen features: means of a four by four grid, in grey."""

    name, precision, batched = "fake", "fp32", False

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, 224, 224, 3) to (n, 16)."""
        grid = crops.reshape(len(crops), 4, 56, 4, 56, 3).mean(axis=(2, 4, 5), dtype=np.float64)
        rows: NDArray[np.float32] = grid.reshape(len(crops), 16).astype(np.float32) / 255
        return rows
