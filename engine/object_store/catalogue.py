"""Catalogues: the newest event of each image in our bucket, changed by compare-and-set.

`catalogue/{image id}.json` holds the whole state of each image whose versions we count, whether and
where it was published, and for watched buckets what was seen of the object; `moderation/…` the
operator's newest decision about an image (docs/images.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import ClassVar, Generic

from sightline.engine.errors import (
    Conflict,
    ObjectMissing,
    Overloaded,
    Part,
    Unreadable,
)
from sightline.engine.object_store.entries import (
    D,
    Entry,
    Looked,
    Place,
    decode_entry,
    encode_entry,
    names_owner,
)
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes, stored_etag
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageDeleted, ImageState, ImageUploaded, ObjectReference
from sightline.schemas.moderation import ImageModerated

PREFIX = "catalogue/"
MODERATION_PREFIX = "moderation/"
_SUFFIX = ".json"
_MAX_BYTES = 1_048_576
_ATTEMPTS = 200
"""Writers of one image that may overtake us in one update before it counts as overload."""

_log = logging.getLogger(__name__)


class Entries(Generic[D]):
    """One catalogue; safe across threads and processes.

    Args:
        store: with compare-and-set.
        bucket: our own.
    """

    prefix: ClassVar[str]
    kind: type[D]

    def __init__(self, store: ObjectStore, bucket: str) -> None:
        self._store = store
        self._bucket = bucket

    def look(self, image_id: str) -> Looked[D]:
        """The image's entry, or that one is there which cannot be read; that is logged.

        Raises:
            PartUnavailable: the store did not answer.
        """
        etag = self._etag(self._key(image_id))
        return Looked() if etag is None else self._looked(image_id, etag)

    def _etag(self, key: str) -> str | None:
        try:
            return stored_etag(self._store, self._bucket, key)
        except ObjectMissing:
            return None

    def _looked(self, image_id: str, etag: str) -> Looked[D]:
        """The image's entry under an etag told before: if it is newer, compare-and-set fails."""
        key = self._key(image_id)
        try:
            data = stored_bytes(self._store, self._bucket, key, max_bytes=_MAX_BYTES)
            return Looked(entry=self._decoded(data, image_id, etag), etag=etag)
        except ObjectMissing:
            return Looked()
        except Unreadable as error:
            _log.error(
                "an unreadable catalogue entry is left out: %s", error, extra={"image": image_id}
            )
            return Looked(etag=etag)

    def peek(self, image_id: str, *, owner_id: str | None = None) -> Entry[D] | None:
        """The image's entry without its etag, for who decides afterwards who may know of it.

        One read of the store and one parse, of the entry only where its bytes name that owner,
        else of a stand-in: the time would tell strangers which ids are taken, and how much is said
        there.

        Args:
            image_id: the image.
            owner_id: whose entry it must be to be found; None: whoever's.

        Raises:
            Unreadable: there is one that cannot be read; with an owner, one that is theirs.
            PartUnavailable: the store did not answer.
        """
        key = self._key(image_id)
        data: bytes | None = None
        try:
            data = stored_bytes(self._store, self._bucket, key, max_bytes=_MAX_BYTES)
        except ObjectMissing:
            pass
        except Unreadable:
            if owner_id is None:
                raise
        if data is None or (owner_id is not None and not names_owner(data, owner_id)):
            decode_entry(_some_entry(), ImageState, key=key, etag=None)
            return None
        return self._decoded(data, image_id, None)

    def _decoded(self, data: bytes, image_id: str, etag: str | None) -> Entry[D]:
        """What is stored of the image; of another one, it is as good as damaged.

        Raises:
            Unreadable: it is damaged, of another kind or of another image.
        """
        key = self._key(image_id)
        entry = decode_entry(data, self.kind, key=key, etag=etag)
        if entry.state.subject != image_id:
            raise Unreadable(f"{key} is of image {entry.state.subject}")
        return entry

    def read(self, image_id: str) -> Entry[D] | None:
        """The image's entry; None: there is none.

        Raises:
            Unreadable: there is one that cannot be read.
            PartUnavailable: the store did not answer.
        """
        return self._read(image_id, self.look(image_id))

    def _read(self, image_id: str, found: Looked[D]) -> Entry[D] | None:
        if found.unreadable:
            raise Unreadable(f"what is kept of image {image_id} cannot be read")
        return found.entry

    def write(self, entry: Entry[D]) -> Entry[D]:
        """Store iff what is stored still has `entry.etag`; the entry with its new etag.

        Raises:
            Conflict: someone else wrote it meanwhile.
            PartUnavailable: the store did not answer; it may be written.
        """
        key = self._key(entry.state.subject)
        data = encode_entry(entry)
        stored = self._store.put_if(self._bucket, key, data, expected_etag=entry.etag)
        return replace(entry, etag=stored.etag)

    def update(
        self,
        image_id: str,
        decide: Callable[[Entry[D] | None], Entry[D] | None],
        *,
        mend: bool = False,
    ) -> Entry[D] | None:
        """Read, decide and write, again from the start when somebody wrote in between.

        Args:
            image_id: the image.
            decide: from the stored entry to the new one, None to leave it; called once per try.
            mend: treat an entry that cannot be read as none, and replace it.

        Returns:
            What is stored now, None if nothing is.

        Raises:
            Unreadable: something is stored that cannot be read, and `mend` is not asked for.
            Overloaded: overtaken by too many writers.
            PartUnavailable: the store did not answer; it may be written.
        """
        for _ in range(_ATTEMPTS):
            found = self.look(image_id)
            wanted = decide(found.entry if mend else self._read(image_id, found))
            if wanted is None:
                return found.entry
            try:
                return self.write(replace(wanted, etag=found.etag))
            except Conflict:
                continue
        raise Overloaded(Part.STORE, f"too many writers of image {image_id} at once")

    def scan(self, *, start_after: str = "") -> Iterator[Entry[D]]:
        """Every entry that can be read, by image id; the others are logged and passed over.

        Raises:
            PartUnavailable: the store did not answer.
        """
        for _, looked in self.look_at_all(start_after=start_after):
            if looked.entry is not None:
                yield looked.entry

    def look_at_all(self, *, start_after: str = "") -> Iterator[tuple[str, Looked[D]]]:
        """Every image id with what is stored of it, readable or not, by id.

        Raises:
            PartUnavailable: the store did not answer.
        """
        after = self._key(start_after) if start_after else ""
        for item in self._store.list(self._bucket, self.prefix, start_after=after):
            if item.key.endswith(_SUFFIX):
                image_id = self._image_id(item.key)
                looked = self._looked(image_id, item.etag)
                if looked.etag is not None:
                    yield image_id, looked

    def ids(
        self, *, changed_since: datetime | None = None, changed_before: datetime | None = None
    ) -> Iterator[str]:
        """Images whose entry was last written in that time, by the store's clock; none is read.

        Raises:
            PartUnavailable: the store did not answer.
        """
        for item in self._store.list(self._bucket, self.prefix):
            if not item.key.endswith(_SUFFIX):
                continue
            if item.modified is not None and (
                (changed_since is not None and item.modified < changed_since)
                or (changed_before is not None and item.modified > changed_before)
            ):
                continue
            yield self._image_id(item.key)

    def _key(self, image_id: str) -> str:
        return self.prefix + image_id + _SUFFIX

    def _image_id(self, key: str) -> str:
        return key.removeprefix(self.prefix).removesuffix(_SUFFIX)


CatalogueEntry = Entry[ImageState]


class Catalogue(Entries[ImageState]):
    """The newest event of each image whose versions Sightline counts, kept in the bucket."""

    prefix = PREFIX
    kind = ImageState

    def forget(self, image_id: str) -> None:
        """Remove an entry that says deleted, after its retention; any other stays.

        A write in the moment between look and removal loses its entry; the next one goes on from
        the version that the index knows.

        Raises:
            PartUnavailable: the store did not answer; a repeat is safe.
        """
        entry = self.look(image_id).entry
        if entry is not None and isinstance(entry.state, ImageDeleted):
            self._store.delete(self._bucket, self._key(image_id))


class Decisions(Entries[ImageModerated]):
    """The operator's decisions, each image's newest: it counts their versions."""

    prefix = MODERATION_PREFIX
    kind = ImageModerated


@cache
def _some_entry() -> bytes:
    """An entry of nobody's image, as long as most."""
    reference = ObjectReference(bucket="sightline", key="images/x", size_bytes=1, sha256="0" * 64)
    state = ImageUploaded(image_id="x", version=1, object=reference, attributes={"title": "x" * 40})
    event = Event[ImageState].of(
        state, event_id="x", source="/sightline", time=datetime.fromtimestamp(0, UTC)
    )
    place = Place(topic="images.v1", partition=0, offset=0, appended=event.time)
    return encode_entry(Entry(event=event, published=place))
