"""Query model and index as one value, so that no search can take one from each of two models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sightline.engine.ports import Embedder, VectorIndex
from sightline.engine.records import GenerationSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_VARIANT = "default"
"""What a search is counted under while no experiment runs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServingPair:
    """What answers a search, from its beginning to its end."""

    embedder: Embedder
    """Makes vectors of the space that the index was made in."""
    index: VectorIndex
    spec: GenerationSpec
    """What the index was made with."""
    matrix: NDArray[np.float32] | None = None
    """(dimensions, dimensions), put on the query; None: it is asked as it is embedded."""
    model: str | None = None
    """`NAME@DIGEST` of the model that answers; None: the one that the settings name."""
    variant: str = DEFAULT_VARIANT
    """The arm of an experiment."""
    beside: ServingPair | None = None
    """Another one whose ranking fills the page in turn with this one's; None: this one alone."""
    number: int = 1
    """The number of the state that it was opened for."""

    @property
    def all(self) -> tuple[ServingPair, ...]:
        """This one, and the one beside it if there is any."""
        return (self,) if self.beside is None else (self, self.beside)

    def query(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the index is asked by: (dimensions,), L2 norm 1."""
        if self.matrix is None:
            return vector
        turned = self.matrix @ vector
        norm = max(float(np.linalg.norm(turned)), float(np.finfo(np.float32).tiny))
        return np.asarray(turned / norm, dtype=np.float32)
