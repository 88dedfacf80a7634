"""The port to the model: pictures become features, and features become vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightline.engine.records.framing import Framing


class Embedder(Protocol):
    """Upright RGB crops to unit vectors of one vector space."""

    @property
    def digest(self) -> str:
        """Names the vector space: weights, projection, preprocess, precision and runtime."""

    @property
    def features_digest(self) -> str:
        """Names what `features` gives: the digest's parts without the projection.

        Two models of one features digest differ in their projections only: what one of them kept
        of an image can be projected by the other.
        """

    @property
    def feature_count(self) -> int:
        """How many numbers the network gives of a picture, before the projection."""

    @property
    def dimensions(self) -> int:
        """How many numbers a vector of this model has."""

    @property
    def framing(self) -> Framing:
        """How a picture becomes the square that the model sees."""

    @property
    def runtime(self) -> str:
        """What runs it, for `/readyz`: `openvino`, `torch-eager`, `torch-compiled`, `cuda`."""

    @property
    def batched(self) -> bool:
        """Whether several images at once cost less than one after the other."""

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the network sees: the same crop gives the same row whatever it is batched with.

        Args:
            crops: uint8 (n, size, size, 3), RGB, as `framing` says.

        Returns:
            float32 (n, feature_count).
        """

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features to vectors: row by row, so that batching changes no bit.

        Args:
            features: float32 (n, feature_count).

        Returns:
            float32 (n, dimensions), each row of L2 norm 1.
        """

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed a batch, `project(features(crops))`, which never depends on the batch.

        Args:
            crops: uint8 (n, size, size, 3), RGB, as `framing` says.

        Returns:
            float32 (n, dimensions), each row of L2 norm 1.
        """
