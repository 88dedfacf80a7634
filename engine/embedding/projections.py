"""What a model makes of pooled features: a matrix of them, and of some models a familiarity gate.

Without a gate a vector is (features - mean) @ matrix. With one it is (features - mean) @ (old +
share · change): the share of the change is each picture's own, and near none where a picture is
unlike all that was clicked (docs/adr/0032-familiarity.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from sightline.engine.errors import SettingsInvalid
from sightline.engine.regular_files import need_regular

Features = NDArray[np.float32]
Tensors = dict[str, Features]
UNREADABLE = (
    OSError,
    MemoryError,
    SafetensorError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
)
"""What reading a file of tensors may raise: numpy has no types of 16 bits and fewer, and a header
may say anything of their length."""
GATED_CHANGE = "familiar.change"
"""Names the change behind a gate. A reader that knows of no gate looks for `matrix` or `change`,
and refuses what has neither."""
GATE = ("familiar.old", "familiar.centroids", "familiar.curve")
_BLOCK = 8_192
"""Pictures that are projected at a time, so that memory does not grow with them."""


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Centre, then rotate and cut: (features - mean) @ matrix, in fp32."""

    mean: Features
    """(features,)."""
    matrix: Features
    """(features, dimensions)."""

    @property
    def columns(self) -> Features:
        """What centred features are multiplied by, for `vectors`."""
        return self.matrix

    @property
    def dimensions(self) -> int:
        """Counts the numbers of a vector that it makes."""
        dimensions: int = self.matrix.shape[1]
        return dimensions

    def vectors(self, products: Features) -> Features:
        """(n, dimensions) of centred features times `columns`; not normalised."""
        return products

    def tensors(self) -> Tensors:
        """What a file keeps of it, each tensor by its name."""
        return {"mean": self.mean, "matrix": self.matrix}

    def __call__(self, features: Features) -> Features:
        """(n, features) to (n, dimensions); one order of sums, so that batching changes no bit."""
        return self.vectors(_row_by_row(features - self.mean, self.columns))


@dataclass(frozen=True, slots=True, eq=False)
class FamiliarityGate:
    """How much of a change a picture takes: a sigmoid of how like it is to what was clicked.

    How like: the cosine of its old vector to the nearest centroid.
    """

    old: Features
    """(features, dimensions) the old space, in which likeness is told and unlike pictures stay."""
    centroids: Features
    """(k, dimensions) of old vectors of clicked pictures, each row of L2 norm 1."""
    steepness: float
    """How fast the sigmoid rises, per unit of cosine."""
    middle: float
    """The cosine at which a picture takes half of the change."""

    def share(self, old_vectors: Features) -> Features:
        """(n, dimensions) old vectors, not normalised, to (n,) shares from 0 to 1."""
        cosines = _row_by_row(unit_rows(old_vectors), self.centroids.T)
        # A sigmoid that overflows nowhere, and ends at 0.
        above = np.tanh(self.steepness / 2 * (cosines.max(axis=1) - self.middle))
        share: Features = (above + 1) / 2
        return share

    def tensors(self) -> Tensors:
        """What a file keeps of it, each tensor by its name."""
        curve = np.array([self.steepness, self.middle], np.float32)
        return dict(zip(GATE, (self.old, self.centroids, curve), strict=True))

    @classmethod
    def of(cls, tensors: Tensors) -> FamiliarityGate:
        """The gate of a file.

        Raises:
            KeyError, ValueError: a tensor is missing, or of another shape.
        """
        old, centroids, curve = (tensors[name] for name in GATE)
        if centroids.shape[1:] != old.shape[1:] or not centroids.size or curve.shape != (2,):
            raise ValueError(f"a gate's shapes do not fit: {[tensors[one].shape for one in GATE]}")
        return cls(old, centroids, *curve.tolist())


@dataclass(frozen=True, eq=False)
class GatedProjection:
    """Centre, and project as much of the way from the old space to the new as a gate lets pass.

    It has no matrix, so that nobody takes it for one.
    """

    mean: Features
    """(features,)."""
    change: Features
    """(features, dimensions) the new space less the old one."""
    gate: FamiliarityGate

    @cached_property
    def columns(self) -> Features:
        """What centred features are multiplied by, for `vectors`: of one product both spaces."""
        return np.hstack([self.gate.old, self.change])

    @property
    def dimensions(self) -> int:
        """Counts the numbers of a vector that it makes."""
        dimensions: int = self.change.shape[1]
        return dimensions

    def vectors(self, products: Features) -> Features:
        """(n, dimensions) of centred features times `columns`; not normalised."""
        old, changed = np.split(products, 2, axis=1)
        vectors: Features = old + self.gate.share(old)[:, None] * changed
        return vectors

    def tensors(self) -> Tensors:
        """What a file keeps of it, each tensor by its name."""
        return {"mean": self.mean, GATED_CHANGE: self.change, **self.gate.tensors()}

    def __call__(self, features: Features) -> Features:
        """(n, features) to (n, dimensions); one order of sums, so that batching changes no bit."""
        return self.vectors(_row_by_row(features - self.mean, self.columns))


AnyProjection = Projection | GatedProjection


def load_projection(path: Path) -> AnyProjection:
    """Read what `projection_bytes` wrote.

    Raises:
        SettingsInvalid: unreadable, with other tensors, of other shapes, or with numbers that are
            not finite.
    """
    try:
        need_regular(path)
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
            tensors = {
                name: np.ascontiguousarray(each, dtype=np.float32)
                for name, each in load_file(path).items()
            }
        read = _projection_of(tensors)
    except UNREADABLE as error:
        raise SettingsInvalid(f"embedder.projection: cannot read {path}: {error}") from error
    if not all(np.isfinite(each).all() for each in tensors.values()):
        raise SettingsInvalid(f"embedder.projection: {path} holds numbers that are not finite")
    return read


def load_linear(path: Path) -> Projection:
    """The same of a projection that is one matrix.

    Raises:
        SettingsInvalid: as `load_projection`; it has a familiarity gate.
    """
    read = load_projection(path)
    if isinstance(read, GatedProjection):
        raise SettingsInvalid(f"{path} has a familiarity gate: it is no single matrix")
    return read


def projection_bytes(projection: AnyProjection) -> bytes:
    """A safetensors file of it; equal projections give equal bytes."""
    return save({name: np.ascontiguousarray(each) for name, each in projection.tensors().items()})


def project_all(projection: AnyProjection, features: Features) -> Features:
    """(n, features) of any number of pictures to (n, dimensions), not normalised.

    By products of many rows, which are faster than one by one, and differ from these in the last
    bits.
    """
    parts = []
    for at in range(0, max(1, len(features)), _BLOCK):
        centred: Features = features[at : at + _BLOCK] - projection.mean
        parts.append(projection.vectors(centred @ projection.columns))
    return np.concatenate(parts)


def unit_rows(rows: Features) -> Features:
    """Each row divided by its L2 norm; a row of zeros stays one."""
    norms = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    unit: Features = rows / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit


def _projection_of(tensors: Tensors) -> AnyProjection:
    """Raises `LookupError` or `ValueError` unless they are those of a projection, and no others."""
    mean = tensors["mean"]
    if GATED_CHANGE in tensors:
        change, gate = tensors[GATED_CHANGE], FamiliarityGate.of(tensors)
        read: AnyProjection = GatedProjection(mean, change, gate)
        matrices = [change, gate.old]
    else:
        matrices = [tensors["matrix"]]
        read = Projection(mean, *matrices)
    if tensors.keys() != read.tensors().keys():
        raise ValueError(f"it holds {', '.join(sorted(tensors))}")
    rows, columns = (*matrices[0].shape, 0, 0)[:2]
    fits = mean.shape == (rows,) and all(each.shape == (rows, columns) for each in matrices)
    if not fits or not rows * columns:
        told = " and ".join(str(each.shape) for each in matrices)
        raise ValueError(f"it holds mean {mean.shape} and matrix {told}")
    return read


def _row_by_row(rows: Features, matrix: Features) -> Features:
    # Not `@`: OpenBLAS gives such a product to threads of its own, which spin for the next one.
    # On two cores that took 5.4 ms of CPU an image, this takes 0.2.
    products: Features = np.einsum("ni,ij->nj", rows, matrix)
    return products
