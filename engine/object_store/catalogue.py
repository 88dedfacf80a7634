"""The catalogue: the whole state of each image whose versions we count, by compare-and-set.

One object per image, `catalogue/{image id}.json`, holds the image's newest event, whether and where
it was published, and for watched buckets what was seen of the object (docs/images.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sightline.engine.errors import Conflict, ObjectMissing, Overloaded, Part, PermanentError
from sightline.engine.ports import ObjectStore
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.fields import Contract
from sightline.schemas.images import ImageDeleted, ImageState
from sightline.schemas.registry import decode

PREFIX = "catalogue/"
_SUFFIX = ".json"
_MAX_BYTES = 1_048_576
_ATTEMPTS = 200
"""Writers of one image that may overtake us in one update before it counts as overload."""


class Place(Contract):
    """Where in the log an event lies."""

    topic: str
    partition: int
    offset: int
    appended: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """What the catalogue says of one image."""

    event: Event[ImageState]
    """The newest event, as it was or will be published."""
    published: Place | None = None
    """None: written, but no acknowledgement of its publication has been noted."""
    seen: str | None = None
    """What the bridge last saw of the object in a watched bucket; none for other images."""
    etag: str | None = None
    """Of the stored object; None: not stored yet."""

    @property
    def state(self) -> ImageState:
        """The image's whole state."""
        return self.event.data


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore")

    event: dict[str, Any]
    published: Place | None = None
    seen: str | None = None


class Catalogue:
    """The images whose versions Sightline counts; safe across threads and processes.

    Args:
        store: with compare-and-set.
        bucket: our own.
    """

    def __init__(self, store: ObjectStore, bucket: str) -> None:
        self._store = store
        self._bucket = bucket

    def read(self, image_id: str) -> CatalogueEntry | None:
        """The image's entry; None: we do not count its versions.

        Raises:
            PartUnavailable: the store did not answer.
        """
        return self._read(PREFIX + image_id + _SUFFIX)

    def write(self, entry: CatalogueEntry) -> CatalogueEntry:
        """Store iff what is stored still has `entry.etag`; the entry with its new etag.

        Raises:
            Conflict: someone else wrote it meanwhile.
            PartUnavailable: the store did not answer; it may be written.
        """
        key = PREFIX + entry.state.image_id + _SUFFIX
        stored = self._store.put_if(self._bucket, key, _encode(entry), expected_etag=entry.etag)
        return replace(entry, etag=stored.etag)

    def update(
        self, image_id: str, decide: Callable[[CatalogueEntry | None], CatalogueEntry | None]
    ) -> CatalogueEntry | None:
        """Read, decide and write, again from the start when somebody wrote in between.

        Args:
            image_id: the image.
            decide: from the stored entry to the new one, None to leave it; called once per try.

        Returns:
            What is stored now, None if nothing is.

        Raises:
            Overloaded: overtaken by too many writers.
            PartUnavailable: the store did not answer; it may be written.
        """
        for _ in range(_ATTEMPTS):
            found = self.read(image_id)
            wanted = decide(found)
            if wanted is None:
                return found
            try:
                return self.write(replace(wanted, etag=None if found is None else found.etag))
            except Conflict:
                continue
        raise Overloaded(Part.STORE, f"too many writers of image {image_id} at once")

    def forget(self, image_id: str) -> None:
        """Remove an entry that says deleted, after its retention; any other stays.

        A write in the moment between look and removal loses its entry; the next one goes on from
        the version that the index knows.

        Raises:
            PartUnavailable: the store did not answer; a repeat is safe.
        """
        entry = self.read(image_id)
        if entry is not None and isinstance(entry.state, ImageDeleted):
            self._store.delete(self._bucket, PREFIX + image_id + _SUFFIX)

    def scan(self, *, start_after: str = "") -> Iterator[CatalogueEntry]:
        """Every entry, by image id.

        Raises:
            PartUnavailable: the store did not answer.
        """
        after = PREFIX + start_after + _SUFFIX if start_after else ""
        for item in self._store.list(self._bucket, PREFIX, start_after=after):
            entry = self._read(item.key) if item.key.endswith(_SUFFIX) else None
            if entry is not None:
                yield entry

    def ids(
        self, *, changed_since: datetime | None = None, changed_before: datetime | None = None
    ) -> Iterator[str]:
        """Images whose entry was last written in that time, by the store's clock; none is read.

        Raises:
            PartUnavailable: the store did not answer.
        """
        for item in self._store.list(self._bucket, PREFIX):
            if not item.key.endswith(_SUFFIX):
                continue
            if item.modified is not None and (
                (changed_since is not None and item.modified < changed_since)
                or (changed_before is not None and item.modified > changed_before)
            ):
                continue
            yield item.key.removeprefix(PREFIX).removesuffix(_SUFFIX)

    def _read(self, key: str) -> CatalogueEntry | None:
        try:
            # First the etag: if the bytes are newer than it, the compare-and-set fails, as it must.
            etag = self._store.stat(self._bucket, key).etag
            data = self._store.get(self._bucket, key, max_bytes=_MAX_BYTES)
        except ObjectMissing:
            return None
        return _decode(data, key, etag)


def _encode(entry: CatalogueEntry) -> bytes:
    return (
        _Stored(
            event=entry.event.model_dump(mode="json", exclude_none=True),
            published=entry.published,
            seen=entry.seen,
        )
        .model_dump_json(exclude_none=True)
        .encode()
    )


def _decode(data: bytes, key: str, etag: str) -> CatalogueEntry:
    try:
        stored = _Stored.model_validate_json(data)
        event = decode(json.dumps(stored.event).encode())
    except (ValidationError, ContractError) as error:
        raise PermanentError(f"{key} is damaged: {error}") from error
    if not isinstance(event.data, ImageState):
        raise PermanentError(f"{key} is damaged: not an image's event")
    return CatalogueEntry(event=event, published=stored.published, seen=stored.seen, etag=etag)
