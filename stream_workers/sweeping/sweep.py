"""Our bucket against the index: bytes and renditions that no image needs any more, removed.

What a delete or newer bytes leave behind stays for `store.keep_deleted_days`, and then goes
(docs/privacy.md). Buckets of others are never touched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple, TypeVar

from sightline.engine.errors import PermanentError
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.ports import Clock, ObjectStore, VectorIndex
from sightline.engine.records import IndexedImage, StoredObject

T = TypeVar("T")
ORIGINALS, RENDITIONS = "images/", "thumbnails/"
"""Under each: `{image id}/{SHA-256 of the original}`, of a rendition with its size behind it."""
IN_FLIGHT = timedelta(hours=1)
"""Bytes are stored before anything names them; so long may their upload take to be written."""
_AT_ONCE = 500
_DIGITS = 64

_log = logging.getLogger(__name__)


class ObjectPlace(NamedTuple):
    """The image and the content that an object's key names."""

    image_id: str
    sha256: str


class Before(NamedTuple):
    """What has to lie how far back for an object to be removed."""

    put: datetime
    """When it was put."""
    left: datetime
    """When its image got a state that does not need it."""


Placed = tuple[StoredObject, ObjectPlace]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How many objects one sweep looked at and removed."""

    looked_at: int = 0
    """Objects under our prefixes."""
    removed: int = 0
    removed_bytes: int = 0

    def __add__(self, other: Swept) -> Swept:
        return Swept(
            looked_at=self.looked_at + other.looked_at,
            removed=self.removed + other.removed,
            removed_bytes=self.removed_bytes + other.removed_bytes,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Sweeper:
    """Removes what no present state refers to; any number of processes may, at the same time too.

    Args:
        store: holds the bytes.
        bucket: ours.
        index: what is applied of each image.
        catalogue: what is written of each image, applied or not.
        logged: ids of images that the log knows; asked only where the index knows nothing.
        keep: how long bytes stay after the state that needed them.
        clock: the time.
    """

    store: ObjectStore
    bucket: str
    _: KW_ONLY
    index: VectorIndex
    catalogue: Catalogue
    logged: Callable[[], Collection[str]]
    keep: timedelta
    clock: Clock

    def sweep(self) -> Swept:
        """Look at every original and rendition once, and remove what is due. A repeat finds none.

        Raises:
            PartUnavailable: store, index or log did not answer; a repeat goes on.
        """
        now = self.clock.now()
        before = Before(put=now - max(self.keep, IN_FLIGHT), left=now - self.keep)
        swept, strangers = Swept(), list[Placed]()
        for prefix in (ORIGINALS, RENDITIONS):
            for chunk in _chunks(self.store.list(self.bucket, prefix), _AT_ONCE):
                due, unknown = self._due(prefix, chunk, before)
                strangers += unknown
                swept += Swept(looked_at=len(chunk)) + self._remove(due, before.put)
        return swept + self._remove(self._orphans(strangers), before.put)

    def _due(
        self, prefix: str, chunk: Collection[StoredObject], before: Before
    ) -> tuple[list[StoredObject], list[Placed]]:
        """Sorts out which objects to remove, and which are of images the index does not know."""
        old = [
            (item, place_of_key(item.key))
            for item in chunk
            if item.modified is not None and item.modified < before.put
        ]
        known = self.index.get({place.image_id for _, place in old if place is not None})
        due, unknown = [], []
        for item, place in old:
            image = None if place is None else known.get(place.image_id)
            if place is None:
                due += [item] if prefix == RENDITIONS else []  # made again when it is asked for
            elif image is None:
                unknown.append((item, place))
            elif self._left_behind(prefix, place, image, before.left):
                due.append(item)
        return due, unknown

    def _left_behind(
        self, prefix: str, place: ObjectPlace, image: IndexedImage, before: datetime
    ) -> bool:
        """Whether the image has long had a state that does not need this object."""
        if prefix == RENDITIONS:
            return place.sha256 != image.content_sha256 and self._since(image) < before
        key = f"{ORIGINALS}{place.image_id}/{place.sha256}"
        if image.object is not None and image.object.key == key:
            return False
        return self._since(image) < before and not self._is_written(place.image_id, key)

    def _since(self, image: IndexedImage) -> datetime:
        """From when on the image has had the bytes that it has now, or none.

        A change of tags makes a new version with the same bytes: when they were stored tells more.
        """
        present = image.object
        if present is None or present.bucket != self.bucket:
            return image.appended
        try:
            return self.store.stat(present.bucket, present.key).modified or image.appended
        except PermanentError:
            return image.appended

    def _is_written(self, image_id: str, key: str) -> bool:
        """Whether the newest state of the catalogue, maybe not applied yet, needs the object."""
        try:
            entry = self.catalogue.read(image_id)
        except PermanentError as error:
            _log.error("image %s: its bytes are kept: %s", image_id, error)
            return True
        return (
            entry is not None and entry.state.object is not None and entry.state.object.key == key
        )

    def _orphans(self, strangers: Collection[Placed]) -> list[StoredObject]:
        """Those of images that nobody has heard of: their upload was never published."""
        if not strangers:
            return []
        logged = set(self.logged())
        return [
            item
            for item, place in strangers
            if place.image_id not in logged and not self._is_written(place.image_id, item.key)
        ]

    def _remove(self, due: Iterable[StoredObject], before: datetime) -> Swept:
        """Remove those that nobody has put again meanwhile."""
        removed = removed_bytes = 0
        for item in due:
            try:
                modified = self.store.stat(self.bucket, item.key).modified
            except PermanentError:
                continue
            if modified is not None and modified < before:
                self.store.delete(self.bucket, item.key)
                removed, removed_bytes = removed + 1, removed_bytes + item.size_bytes
        return Swept(removed=removed, removed_bytes=removed_bytes)


def place_of_key(key: str) -> ObjectPlace | None:
    """The image and the bytes that a key names; None: it names none."""
    _, _, rest = key.partition("/")
    image_id, slash, name = rest.rpartition("/")
    digest = name[:_DIGITS]
    return ObjectPlace(image_id, digest) if slash and len(digest) == _DIGITS else None


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
