"""What an engine of points can do: all that differs between the embedded one and the server."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from sightline.engine.records import IndexedImage, Likeness
from sightline.engine.vector_index.conditions import Where
from sightline.engine.vector_index.ranking import Asked, ScoredPoint
from sightline.engine.vector_index.stored_points import StoredPoint
from sightline.engine.vector_index.write_conditions import PayloadChange

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Vectors = list[str] | bool
"""Names of the vectors that a read returns, as `vectors_to_read` makes them; False: none."""
Points = list[tuple[str, StoredPoint]]
"""Points by their ids."""


class PointStore(Protocol):
    """The points of one generation.

    Every write is atomic per point; every call raises `PartUnavailable` where the engine does not
    answer, and a write that raised may be half done.
    """

    batch: int
    """Points to one `upsert`."""

    def upsert(self, images: Sequence[IndexedImage]) -> None:
        """Write the images' points whole: new ones, and those that match `any_below`."""

    def applied(self, points: int) -> None:
        """So many points were written by one `apply`: a graph may be due."""

    def insert(self, point: str, payload: dict[str, Any]) -> None:
        """Write a point without a vector; nothing where there is one already."""

    def change(self, change: PayloadChange) -> None:
        """Write the fields into those of the points that match."""

    def delete(self, points: Sequence[str], where: Where) -> None:
        """Remove those of the points that match."""

    def retrieve(
        self, points: Collection[str], *, fields: Sequence[str] | None = None, vectors: Vectors
    ) -> Points:
        """Those of the points that exist, with these fields of their payloads; None: with all."""

    def read(
        self, where: Where, limit: int, *, vectors: Vectors = False, order_by: str | None = None
    ) -> Points:
        """At most `limit` of the points that match, by ascending numbers of `order_by` if given."""

    def scan(self, where: Where | None, *, vectors: Vectors, batch: int) -> Iterator[StoredPoint]:
        """Every point that matches once, by id, read in batches; None: every point."""

    def nearest(
        self, vectors: NDArray[np.float32], where: Where, asked: Asked, *, exact: bool
    ) -> Sequence[Sequence[ScoredPoint]]:
        """For each vector the best of the points that match, by cosine.

        Args:
            vectors: (n, dimensions).
            where: which points match.
            asked: how many, and what of them.
            exact: scan, else the graph is used.
        """

    def clusters_near(
        self, pictures: Sequence[Likeness], *, bits: int, limit: int
    ) -> list[tuple[str, ...]]:
        """See `VectorIndex.clusters_near`."""

    def count(self, where: Where) -> int:
        """Counts the points that match; exact, not an estimate."""

    def flush(self) -> None:
        """Return when everything written before this call survives a crash."""

    def wait_optimised(self, timeout_s: float) -> bool:
        """See `VectorIndex.wait_optimised`."""

    def close(self) -> None:
        """Flush and let go; repeated calls do nothing."""
