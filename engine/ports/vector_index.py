"""The port to the vector index: one generation of images, searched and fenced by version."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from sightline.engine.records import (
    GenerationSpec,
    Hit,
    IndexedDecision,
    IndexedImage,
    Likeness,
    SearchRequest,
    Sight,
    TagFilter,
)


class VectorIndex(Protocol):
    """One generation of the index: catalogue and vectors in one, fenced by version.

    Everything that reads for a caller goes through `search`, which adds the visibility filter
    itself and cannot be asked not to. `get` and `scan` see everything and are for workers,
    reconciliation and, behind `engine/vector_index/visible.py`, for status.

    Synchronous, though the API is not: docs/adr/0009.
    """

    @property
    def spec(self) -> GenerationSpec:
        """The model and geometry that this generation was made with."""

    def apply(self, images: Sequence[IndexedImage]) -> None:
        """Write each image iff its fence (version, tie, stage) is above the stored one.

        Atomic per image, idempotent, safe against concurrent writers of the same image. Several
        entries for one image in a call end in the highest. When it returns, `search` shows the
        effect; `flush` makes it durable. The operator's decision about an image stays as it is.
        Vector and features are part of the write: what is written without them has none after it.

        Raises:
            ValueError: a vector is not finite and unit, or features are not as the generation keeps
                them; nothing was written.
            PartUnavailable: it may be half applied; repeat it whole.
        """

    def relocate(self, images: Sequence[IndexedImage]) -> None:
        """Store only where the winning event lies now (its `winner`), iff the fence is equal.

        Raises:
            PartUnavailable: repeat it whole.
        """

    def moderate(self, decisions: Sequence[IndexedDecision]) -> None:
        """Write each decision iff its fence (version, tie) is above the stored decision's.

        As `apply`, of which it is independent: whatever writes come to the image before, after or
        at the same time, both the image and the decision end in their highest. One about an image
        that is not known is kept, and holds when the image comes.

        Raises:
            PartUnavailable: it may be half applied; repeat it whole.
        """

    def relocate_decisions(self, decisions: Sequence[IndexedDecision]) -> None:
        """Store only where the winning decision lies now, iff the fence is equal.

        Raises:
            PartUnavailable: repeat it whole.
        """

    def decisions(self, image_ids: Collection[str]) -> dict[str, IndexedDecision]:
        """The stored decisions, about known images and others. Raises `PartUnavailable`."""

    def scan_decisions(self, *, batch: int = 1_000) -> Iterator[IndexedDecision]:
        """Every stored decision once, in no particular order. Raises `PartUnavailable`."""

    def get(
        self,
        image_ids: Collection[str],
        *,
        vectors: bool = False,
        features: bool = False,
        sight: Sight | None = None,
    ) -> dict[str, IndexedImage]:
        """Those of the images that are stored; unknown ids are absent.

        Args:
            image_ids: the images.
            vectors: whether they come with their vectors.
            features: whether they come with their features, where the generation keeps any.
            sight: what the read itself may find, so that what is hidden costs exactly what an
                unknown id costs; None: every image, whatever its visibility, and one that cannot
                be read as `unreadable`.

        Raises:
            PartUnavailable: the index did not answer.
        """

    def search(self, request: SearchRequest) -> list[Hit]:
        """The nearest *listed* images: public, not blocked, not deleted, not rejected.

        By descending score, ties by image id. Raises `PartUnavailable`, `Overloaded`.
        """

    def clusters_near(
        self, pictures: Sequence[Likeness], *, bits: int, limit: int
    ) -> list[tuple[str, ...]]:
        """For each picture the clusters of the `limit` nearest listed images, the nearest's first.

        An engine that knows that no cluster's name is within `bits` of the hash may name none. An
        image that is in no cluster names none. What a search tells of each image is not read: the
        worker asks for every picture that it writes, for those that it writes together at once.

        Args:
            pictures: each with a vector of L2 norm 1 and a hash that says something.
            bits: of 256; who joins a cluster is that near to its name (docs/adr/0017).
            limit: how many images are looked at.

        Raises:
            PartUnavailable: the index did not answer.
        """

    def earliest(self, cluster: str, tags: TagFilter, limit: int) -> list[IndexedImage]:
        """The listed images of a cluster whose bytes were published first, earliest first.

        Of equal times any may come first. Raises `PartUnavailable`.
        """

    def scan(
        self, *, vectors: bool = False, features: bool = False, batch: int = 1_000
    ) -> Iterator[IndexedImage]:
        """Every readable image once, in no particular order. Raises `PartUnavailable`.

        Args:
            vectors: whether they come with their vectors.
            features: whether they come with their features, where the generation keeps any.
            batch: images to one read.
        """

    def count(self, *, listed_only: bool = False) -> int:
        """How many images are stored, or only those that a search can return."""

    def purge(self, image_ids: Collection[str]) -> None:
        """Remove tombstones for good, after their retention; decisions about the images stay."""

    def flush(self) -> None:
        """Return when everything applied before this call survives a crash.

        Raises:
            PartUnavailable: not durable; commit nothing.
        """

    def wait_optimised(self, timeout_s: float) -> bool:
        """Whether the graph covered what is held, or did within so many seconds.

        Until then some vectors are scanned, and order may still change. Raises `PartUnavailable`.
        """

    def close(self) -> None:
        """Flush and let go; repeated calls do nothing."""
