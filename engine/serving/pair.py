"""Query model and index as one value, so that no search can take one from each of two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sightline.engine.ports import Embedder, VectorIndex
from sightline.engine.records import GenerationSpec
from sightline.engine.vector_index.visible import VisibleIndex

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
    """(dimensions, dimensions), put on the query, by which another model ranks the vectors that the
    index has (docs/adr/0029); None: it is asked as it is embedded."""
    model: str | None = None
    """`NAME@DIGEST` of the model that answers; None: the one that the settings name."""
    query_digest: str | None = None
    """Digest of the model that the matrix ranks as; None: of the one that the index was made with.
    """
    variant: str = DEFAULT_VARIANT
    """The arm of an experiment."""
    beside: ServingPair | None = None
    """Another one whose ranking fills the page in turn with this one's; None: this one alone."""
    also_hidden_by: VectorIndex | None = None
    """The control's index, for a treatment that has another one; what it hides is not shown here
    either, though this one's worker may be behind. None: what the pair's own index hides is all."""
    number: int = 1
    """The number of the state that it was opened for."""

    @property
    def all(self) -> tuple[ServingPair, ...]:
        """This one, and the one beside it if there is any."""
        return (self,) if self.beside is None else (self, self.beside)

    @property
    def visible(self) -> VisibleIndex:
        """The index, as API handlers may read it."""
        return VisibleIndex(self.index, also_hidden_by=self.also_hidden_by)

    @property
    def model_digest(self) -> str:
        """Names the model whose ranking a search gets."""
        return self.query_digest or self.spec.model_digest

    def query(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the index is asked by: (dimensions,), L2 norm 1."""
        if self.matrix is None:
            return vector
        turned = self.matrix @ vector
        norm = max(float(np.linalg.norm(turned)), float(np.finfo(np.float32).tiny))
        return np.asarray(turned / norm, dtype=np.float32)

    def cosines(
        self, vector: NDArray[np.float32], rows: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Cosines in the space of the model that answers; equal rows have equal ones.

        Args:
            vector: (dimensions,) a query as it is embedded.
            rows: (dimensions,) each, vectors of the index.
        """
        if self.matrix is None:
            return np.array([row @ vector for row in rows], np.float32)
        turned = self.matrix @ vector
        # Not `rows @ matrix`: BLAS gives that to threads of its own (`Projection`).
        squares = [np.einsum("i,ij->j", row, self.matrix) @ row for row in rows]
        lengths = np.sqrt(np.array(squares, np.float32) * (turned @ vector))
        found = np.array([row @ turned for row in rows], np.float32)
        return np.asarray(found / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
