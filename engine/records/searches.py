"""What the index is asked, what of it a read may find, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sightline.engine.records.indexed import IndexedImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSpec:
    """What a generation records, and what must be equal to open it (docs/adr/0007)."""

    name: str
    model_digest: str
    preprocess_digest: str
    dimensions: int
    distance: str = "cosine"
    quantisation: str = "int8"
    features_digest: str | None = None
    """Names the features that are kept beside the vectors; None: none are, nor in what follows."""
    features: int | None = None
    """How many numbers there are of an image."""
    feature_bits: int | None = None
    """How many bits are kept of each: 4, 8 or 16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What of the index a read may find; all else is neither read nor parsed."""

    listed: bool
    """What everybody may see."""
    owner_id: str | None = None
    """And what is this owner's, whatever its state."""

    def shows(self, image: IndexedImage) -> bool:
        """Whether the read may find the image."""
        own = self.owner_id is not None and image.state.owner_id == self.owner_id
        return own or (self.listed and image.listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagFilter:
    """All three must hold; empty ones always do."""

    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """One query to the index; visibility is not part of it, the index adds it by itself."""

    vector: NDArray[np.float32]
    """(dimensions,), L2 norm 1."""
    limit: int
    tags: TagFilter = TagFilter()
    exclude_ids: tuple[str, ...] = ()
    exclude_clusters: tuple[str, ...] = ()
    """Look-alikes of pictures that the caller has seen already."""
    exact: bool = False
    settle_ties: bool = True
    """False: equal scores may come in any order, which is cheaper where there are many."""


class Likeness(NamedTuple):
    """What a picture's look-alikes are looked for by; an engine may need only one of the two."""

    vector: NDArray[np.float32]
    """(dimensions,), L2 norm 1."""
    perceptual_hash: str
    """64 hex digits, not all zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One image that a search found, and how near it is."""

    image: IndexedImage
    """Without its vector unless the adapter had it at no cost."""
    score: float
    """Cosine similarity."""
