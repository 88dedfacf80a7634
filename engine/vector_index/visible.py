"""The only reads of the index that API handlers may use: what a caller may not see does not exist.

`search` returns listed images only, by the index's own filter. `get` returns an image, or says
`NotFound` exactly as for an id that was never there: no status, count or timing names it, since the
index is asked only for what the caller may see.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sightline.engine.errors import NotFound
from sightline.engine.ports import VectorIndex
from sightline.engine.records import (
    GenerationSpec,
    Hit,
    IndexedImage,
    SearchRequest,
    Sight,
    TagFilter,
)
from sightline.engine.settings import Scope
from sightline.schemas.moderation import ImageModerated


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: the scopes of the key, and whose images a `write` key may see."""

    scopes: frozenset[Scope]
    owner_id: str | None = None
    key: str = ""
    """What the key is called, or the first digits of its hash."""

    @property
    def sight(self) -> Sight | None:
        """`search`: what is listed; `write`: what its owner owns; `admin`: all, None."""
        if Scope.ADMIN in self.scopes:
            return None
        return Sight(listed=Scope.SEARCH in self.scopes, owner_id=self._own)

    @property
    def sees_nothing(self) -> bool:
        """Whether no image at all is the caller's to see."""
        sight = self.sight
        return sight is not None and not sight.listed and sight.owner_id is None

    def may_see_bytes(self, image: IndexedImage) -> bool:
        """What is listed, and what is its owner's own; `admin` sees every status, not every image.

        So no key at all can take a stranger's private picture out of the system.
        """
        reads = bool(self.scopes & {Scope.SEARCH, Scope.ADMIN})
        return Sight(listed=reads, owner_id=self._own).shows(image)

    def may_change(self, owner_id: str | None) -> bool:
        """Whether it may change that owner's images: a `write` key its own, an admin all."""
        if Scope.ADMIN in self.scopes:
            return True
        return self._own is not None and self._own == owner_id

    @property
    def _own(self) -> str | None:
        """The owner whose images the key may see, whatever their state."""
        return self.owner_id if Scope.WRITE in self.scopes else None


ANYBODY = Caller(scopes=frozenset({Scope.SEARCH}))
"""Queries see what anybody may see, whoever asks: a private image is no query, not even its
owner's, since what is asked by goes into the log that models learn from."""

EVERYTHING = Caller(scopes=frozenset({Scope.ADMIN}))
"""For decisions about an image, never for an answer."""


class VisibleIndex:
    """An index seen with a caller's eyes.

    Args:
        index: is asked.
        also_hidden_by: another one of the same images; what it hides, or lacks, is not seen either.
    """

    def __init__(self, index: VectorIndex, *, also_hidden_by: VectorIndex | None = None) -> None:
        self._index = index
        self._also = also_hidden_by

    @property
    def spec(self) -> GenerationSpec:
        """The model and geometry that the index was made with."""
        return self._index.spec

    def search(self, request: SearchRequest) -> list[Hit]:
        """The nearest listed images, the same for every caller. See `VectorIndex.search`."""
        hits = self._index.search(request)
        if self._also is None:
            return hits
        hidden = self._also_hidden([hit.image.image_id for hit in hits], ANYBODY)
        return [hit for hit in hits if hit.image.image_id not in hidden]

    def earliest(self, cluster: str, tags: TagFilter, limit: int) -> list[IndexedImage]:
        """The first of a cluster that are listed. See `VectorIndex.earliest`."""
        images = self._index.earliest(cluster, tags, limit)
        hidden = self._also_hidden([image.image_id for image in images], ANYBODY)
        return [image for image in images if image.image_id not in hidden]

    def get(self, image_id: str, caller: Caller) -> IndexedImage:
        """The image with its vector, if the caller may see it.

        Raises:
            NotFound: there is none, or it is not the caller's to see.
            PartUnavailable: the index did not answer.
        """
        image = self.get_many([image_id], caller).get(image_id)
        if image is None:
            raise NotFound(f"there is no image {image_id}")
        return image

    def decision(self, image_id: str) -> ImageModerated | None:
        """What the operator decided about an image, for operators. Raises `PartUnavailable`."""
        found = self._index.decisions([image_id]).get(image_id)
        return None if found is None else found.decision

    def get_many(self, image_ids: Collection[str], caller: Caller) -> dict[str, IndexedImage]:
        """Those of the images that the caller may see. Raises `PartUnavailable`."""
        if caller.sees_nothing:
            return {}
        # With vectors: whether an image is listed depends on its having one.
        found = self._index.get(image_ids, vectors=True, sight=caller.sight)
        hidden = self._also_hidden(found.keys(), caller)
        return {image_id: image for image_id, image in found.items() if image_id not in hidden}

    def _also_hidden(self, image_ids: Collection[str], caller: Caller) -> Collection[str]:
        """Those of the images that the other index does not show; without one: none."""
        if self._also is None or not image_ids:
            return ()
        return set(image_ids) - self._also.get(image_ids, vectors=True, sight=caller.sight).keys()
