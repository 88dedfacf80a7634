"""Pooled features of any runtime in, unit vectors of one space out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.model_files import ModelSource
from sightline.engine.embedding.projections import AnyProjection, Features, unit_rows
from sightline.engine.errors import SettingsInvalid


class Runtime(Protocol):
    """Runs a network; safe to call from several threads, each of which keeps to one core."""

    @property
    def name(self) -> str:
        """The name in the settings: `openvino`, `torch-eager`, `torch-compiled` or `cuda`."""

    @property
    def precision(self) -> str:
        """The number format of the arithmetic: `fp32` or `bf16`."""

    @property
    def batched(self) -> bool:
        """Whether several crops at once cost less than one after the other."""

    def features(self, crops: NDArray[np.uint8]) -> Features:
        """uint8 (n, size, size, 3) RGB to float32 (n, features); a row never depends on others."""


class ProjectingEmbedder:
    """The `Embedder` of every runtime, whose properties are fields here.

    Features, projection, L2 norm 1 in fp32.

    Raises:
        SettingsInvalid: the projection is one of other features, or a black picture gets no vector.
    """

    def __init__(
        self, source: ModelSource, runtime: Runtime, projection: AnyProjection | None
    ) -> None:
        self._runtime = runtime
        self.digest = source.digest(precision=runtime.precision, runtime=runtime.name)
        self.features_digest = source.features_digest(
            precision=runtime.precision, runtime=runtime.name
        )
        self.framing, self.runtime, self.batched = source.framing, runtime.name, runtime.batched
        self.precision = runtime.precision
        """`fp32` or `bf16`: what the settings' `auto` became on this machine."""
        self.projection = projection
        """What `project` does before it makes rows unit; None: nothing."""
        size = source.framing.size
        features = self.features(np.zeros((1, size, size, 3), np.uint8))
        self.feature_count: int = features.shape[1]
        if projection is not None and len(projection.mean) != self.feature_count:
            raise SettingsInvalid(
                f"embedder.projection: it takes {len(projection.mean)} features, and "
                f"{source.model} gives {self.feature_count}"
            )
        if not np.isfinite(features).all():
            raise SettingsInvalid(
                f"embedder.model: {source.model} gives a black picture numbers that are not finite"
            )
        self.dimensions: int = self.project(features).shape[1]

    def features(self, crops: NDArray[np.uint8]) -> Features:
        """uint8 (n, size, size, 3) RGB, as `framing` says, to float32 (n, feature_count).

        Raises:
            ValueError: crops of another shape or type.
        """
        size = self.framing.size
        if crops.dtype != np.uint8 or crops.shape[1:] != (size, size, 3):
            raise ValueError(f"crops must be uint8 (n, {size}, {size}, 3), not {crops.shape}")
        return self._runtime.features(crops)

    def project(self, features: Features) -> Features:
        """float32 (n, feature_count) to float32 (n, dimensions) of L2 norm 1."""
        return unit_rows(features if self.projection is None else self.projection(features))

    def embed(self, crops: NDArray[np.uint8]) -> Features:
        """uint8 (n, size, size, 3) RGB, as `framing` says, to float32 (n, dimensions) of L2 norm 1.

        Raises:
            ValueError: crops of another shape or type.
        """
        return self.project(self.features(crops))
