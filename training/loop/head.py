"""A trained head: a linear map of frozen features, maybe behind a gate, and the file that keeps it.

A head is a base projection R and a change D of it. At strength s it is the projection R + s D, so
that a release can lie anywhere between the base (0) and what was trained (1) without training again
(M. Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903). Behind a
familiarity gate a picture takes a share of its own of what R + s D differs by from the old space.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from sightline.engine.embedding.projections import (
    GATED_CHANGE,
    UNREADABLE,
    AnyProjection,
    FamiliarityGate,
    GatedProjection,
    Projection,
    Tensors,
)
from sightline.engine.errors import SettingsInvalid
from sightline.engine.private_files import open_private
from sightline.engine.regular_files import need_regular

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """Maps f features to d dimensions: (features - mean) @ (base + strength · change)."""

    mean: Floats
    """(f,) the centre of the features."""
    base: Floats
    """(f, d) the projection R, as whitening left it."""
    change: Floats
    """(f, d) what was learnt, D."""
    gate: FamiliarityGate | None = None
    """None: all pictures take all of the change."""

    @classmethod
    def of(cls, mean: Floats, base: Floats, residual: Floats) -> Head:
        """What is learnt as a (d, d) residual A of the base: R (I + s A)."""
        with np.errstate(over="ignore"):
            change = (base.astype(np.float64) @ residual).astype(np.float32)
        return cls(mean=mean, base=base, change=change)

    def projection(self, strength: float) -> AnyProjection:
        """What an embedder takes: R + strength · D, behind the gate if there is one.

        Raises:
            SettingsInvalid: fp32 does not hold it.
        """
        new = self.ungated(strength)
        if self.gate is None:
            return new
        return GatedProjection(new.mean, new.matrix - self.gate.old, self.gate)

    def ungated(self, strength: float) -> Projection:
        """R + strength · D, computed in fp64, in fp32; raises as `projection`."""
        matrix = self.base.astype(np.float64) + strength * self.change.astype(np.float64)
        with np.errstate(over="ignore"):
            single = np.ascontiguousarray(matrix, dtype=np.float32)
        if not np.isfinite(single).all():
            raise SettingsInvalid(f"at strength {strength:g} the head has numbers beyond float32")
        return Projection(self.mean.astype(np.float32), single)

    def save(self, path: Path) -> None:
        """Write one safetensors file, whole or not at all; equal heads give equal bytes."""
        tensors = {name: np.ascontiguousarray(each) for name, each in self._tensors().items()}
        write_whole(path, save(tensors))

    @classmethod
    def load(cls, path: Path) -> Head:
        """Read what `save` wrote.

        Raises:
            SettingsInvalid: unreadable, with other tensors, of other shapes, or with numbers that
                are not finite.
        """
        try:
            need_regular(path)
            tensors = load_file(path)
            head = cls._of(tensors)
        except UNREADABLE as error:
            raise SettingsInvalid(f"{path} is no head that was trained here: {error}") from error
        old = head.base if head.gate is None else head.gate.old
        width, dimensions = (*head.base.shape, 0, 0)[:2]
        alike = {head.base.shape, head.change.shape, old.shape} == {(width, dimensions)}
        if head.mean.shape != (width,) or not alike or not width:
            raise SettingsInvalid(
                f"{path} is no head: mean {head.mean.shape}, base {head.base.shape}, "
                f"change {head.change.shape}"
            )
        if not all(np.isfinite(each).all() for each in tensors.values()):
            raise SettingsInvalid(f"{path} is no head: it holds numbers that are not finite")
        return head

    @classmethod
    def _of(cls, tensors: Tensors) -> Head:
        gate = FamiliarityGate.of(tensors) if GATED_CHANGE in tensors else None
        change = tensors["change" if gate is None else GATED_CHANGE]
        head = cls(mean=tensors["mean"], base=tensors["base"], change=change, gate=gate)
        if tensors.keys() != head._tensors().keys():
            raise ValueError(f"it holds {', '.join(sorted(tensors))}")
        return head

    def _tensors(self) -> Tensors:
        whole: Tensors = {"mean": self.mean, "base": self.base}
        if self.gate is None:
            return whole | {"change": self.change}
        return whole | {GATED_CHANGE: self.change} | self.gate.tensors()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside, sync it and rename it: a reader sees the old bytes or all the new."""
    draft = path.with_name(path.name + ".draft")
    with open_private(draft) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
