"""Images whose versions we count, on both object stores: every change is kept, none undone."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.errors import Conflict, NotFound, PartUnavailable, PermanentError
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.ports import ObjectStore
from sightline.engine.records import StoredObject
from sightline.producers.images.bucket_object import BucketObject
from sightline.producers.images.catalogue_writes import Look
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.originals import Original
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.states import ImageFacts
from sightline.producers.images.terms import Terms
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import (
    Authority,
    ImageUploaded,
    ObjectReference,
)
from tests.catalogued_parts import Log, authority

CAT = "cat"


def reference(key: str = "k") -> ObjectReference:
    """Bytes in somebody's bucket."""
    return ObjectReference(bucket="shop", key=key, size_bytes=3)


def holds(key: str, visibility: Visibility = Visibility.PRIVATE) -> Look:
    """A look at a bucket that holds this object."""
    return lambda: BucketObject(reference(key), f"etag of {key}", visibility)


def test_a_new_image_is_private_at_version_1(
    images: CataloguedImages, log: Log, place: tuple[ObjectStore, str]
) -> None:
    """Bytes are in the store under their digest, the event says the whole state, privately."""
    published = images.put(CAT, b"bytes", tags=["a"], content_type="image/png")
    [state] = log.states()
    assert isinstance(state, ImageUploaded)
    assert (state.version, state.authority) == (1, Authority.SIGHTLINE)
    assert state.visibility is Visibility.PRIVATE
    assert place[0].get(state.object.bucket, state.object.key) == b"bytes"
    assert (published.image_id, published.version, published.offset) == (CAT, 1, 0)


def test_versions_grow_by_one(images: CataloguedImages, log: Log) -> None:
    """Put, patch, delete and put again are versions 1 to 4, each the whole state."""
    images.put(CAT, b"1", tags=["a"], attributes={"n": None})
    images.patch(CAT, {"visibility": Visibility.PUBLIC})
    images.delete(CAT)
    images.put(CAT, b"2")
    states = log.states()
    assert [state.version for state in states] == [1, 2, 3, 4]
    assert log.kinds() == ["uploaded", "changed", "deleted", "uploaded"]
    assert states[1].tags == ("a",)
    assert states[1].attributes == {"n": None}
    assert states[3].visibility is Visibility.PRIVATE


def test_a_repeat_is_not_counted(images: CataloguedImages, log: Log) -> None:
    """What would change nothing keeps version and event, and answers with the old place."""
    first = images.put(CAT, b"1", tags=["a"])
    assert images.put(CAT, b"1", tags=["a"]) == first
    assert images.patch(CAT, {"tags": ("a",)}) == first
    gone = images.delete(CAT)
    assert images.delete(CAT) == gone
    assert len(log.states()) == 2


def test_if_match_guards_every_write(images: CataloguedImages, log: Log) -> None:
    """Another version than the expected one is a conflict, and nothing happens."""
    images.put(CAT, b"1")
    with pytest.raises(Conflict):
        images.patch(CAT, {"tags": ("x",)}, terms=Terms(if_match=2))
    with pytest.raises(Conflict):
        images.delete(CAT, terms=Terms(if_match=0))
    with pytest.raises(Conflict):
        images.put("new", b"1", terms=Terms(if_match=1))
    assert images.patch(CAT, {"tags": ("x",)}, terms=Terms(if_match=1)).version == 2
    assert len(log.states()) == 2


def test_what_is_not_there_cannot_be_changed(images: CataloguedImages) -> None:
    """Unknown images cannot be patched or deleted, deleted ones not patched."""
    with pytest.raises(NotFound):
        images.patch(CAT, {"tags": ()})
    with pytest.raises(NotFound):
        images.delete(CAT)
    images.put(CAT, b"1")
    images.delete(CAT)
    with pytest.raises(NotFound):
        images.patch(CAT, {"tags": ()})


def test_of_racing_patches_none_undoes_another(
    catalogue: Catalogue, place: tuple[ObjectStore, str], log: Log
) -> None:
    """Four processes change four fields at once, six times each: every last change is there."""
    authority(catalogue, place, log).put(CAT, b"1")
    start = threading.Barrier(4)

    def patch(fields: list[ImageFacts]) -> None:
        mine = authority(catalogue, place, log)
        start.wait()
        for changes in fields:
            mine.patch(CAT, changes)

    chains: list[list[ImageFacts]] = [
        [{"tags": (f"t{n}",)} for n in range(6)],
        [{"visibility": v} for v in (Visibility.PUBLIC, Visibility.PRIVATE) * 3],
        [{"group_id": f"g{n}"} for n in range(6)],
        [{"moderation": m} for m in (Moderation.BLOCKED, Moderation.ALLOWED) * 3],
    ]
    threads = [threading.Thread(target=patch, args=(chain,)) for chain in chains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entry = catalogue.read(CAT)
    assert entry is not None
    state = entry.state
    assert (state.tags, state.group_id) == (("t5",), "g5")
    assert (state.visibility, state.moderation) == (Visibility.PRIVATE, Moderation.ALLOWED)
    counts = Counter(s.version for s in log.states())
    assert max(counts) == state.version
    assert set(counts.values()) == {1}, "each version was published once"


def test_a_crash_before_publishing_is_mended(
    images: CataloguedImages, catalogue: Catalogue, log: Log
) -> None:
    """With the broker down the write is an error; later the very event is published, once."""
    log.broker.down = True
    with pytest.raises(PartUnavailable):
        images.put(CAT, b"1")
    written = catalogue.read(CAT)
    assert written is not None
    assert written.published is None
    log.broker.down = False
    published = images.finish(CAT)
    assert published is not None
    assert published.event_id == written.event.id
    assert images.finish(CAT) is None
    assert len(log.states()) == 1


def test_a_repeat_publishes_what_a_crash_left(images: CataloguedImages, log: Log) -> None:
    """The caller's own retry of a failed write publishes it, without a new version."""
    log.broker.down = True
    with pytest.raises(PartUnavailable):
        images.put(CAT, b"1")
    log.broker.down = False
    assert images.put(CAT, b"1").version == 1
    assert images.finish(CAT) is None


def test_following_a_bucket_keeps_what_people_decided(images: CataloguedImages, log: Log) -> None:
    """New bytes keep visibility, moderation and tags; after a delete the default counts again."""
    images.follow_object(CAT, holds("1", Visibility.PUBLIC))
    images.patch(CAT, {"moderation": Moderation.BLOCKED, "tags": ("a",)})
    images.follow_object(CAT, holds("2", Visibility.PUBLIC))
    state = log.states()[-1]
    assert isinstance(state, ImageUploaded)
    assert (state.moderation, state.tags, state.object.key) == (Moderation.BLOCKED, ("a",), "2")
    images.follow_object(CAT, lambda: None)
    images.follow_object(CAT, holds("3", Visibility.PRIVATE))
    state = log.states()[-1]
    assert (state.visibility, state.tags, state.version) == (Visibility.PRIVATE, (), 5)


def test_what_never_was_is_not_deleted(images: CataloguedImages, log: Log) -> None:
    """Nothing is there and nothing was: nothing is published."""
    assert images.follow_object(CAT, lambda: None) is None
    assert log.states() == []


def test_following_the_same_object_again_is_the_same_event(
    images: CataloguedImages, log: Log
) -> None:
    """Redelivered after a crash before publishing it is published, else only answered."""
    log.broker.down = True
    with pytest.raises(PartUnavailable):
        images.follow_object(CAT, holds("1"))
    log.broker.down = False
    first = images.follow_object(CAT, holds("1"))
    again = images.follow_object(CAT, holds("1"))
    assert first == again
    assert len(log.states()) == 1


def test_a_backfilled_image_is_adopted(
    catalogue: Catalogue, place: tuple[ObjectStore, str], log: Log
) -> None:
    """The index knows it at version 0; the first change makes it ours, at version 1."""
    store, bucket = place
    publisher = ImagePublisher(log, store, bucket=bucket, source="/test", clock=SystemClock())
    known = ImageUploaded(
        image_id=CAT,
        version=0,
        authority=Authority.BACKFILL,
        object=reference(),
        visibility=Visibility.PUBLIC,
        tags=("old",),
    )
    images = CataloguedImages(catalogue, publisher, known={CAT: known}.get)
    images.patch(CAT, {"group_id": "g"})
    [state] = log.states()
    assert (state.version, state.authority, state.tags) == (1, Authority.SIGHTLINE, ("old",))
    assert state.visibility is Visibility.PUBLIC


def test_an_owners_image_is_not_counted(
    catalogue: Catalogue, place: tuple[ObjectStore, str], log: Log
) -> None:
    """One authority per image: what its owner counts, we refuse to."""
    store, bucket = place
    publisher = ImagePublisher(log, store, bucket=bucket, source="/test", clock=SystemClock())
    known = ImageUploaded(image_id=CAT, version=7, object=reference())
    images = CataloguedImages(catalogue, publisher, known={CAT: known}.get)
    with pytest.raises(Conflict):
        images.put(CAT, b"1")
    with pytest.raises(Conflict):
        images.delete(CAT)
    assert log.states() == []


def test_replaced_bytes_keep_the_rest(images: CataloguedImages, log: Log) -> None:
    """`backfill --replace` gives a known image other bytes and nothing else."""
    images.put(CAT, b"1", tags=["a"], visibility=Visibility.PUBLIC)
    images.replace_bytes(CAT, Original(reference("new")))
    state = log.states()[-1]
    assert isinstance(state, ImageUploaded)
    assert (state.version, state.tags, state.object.key) == (2, ("a",), "new")
    with pytest.raises(NotFound):
        images.replace_bytes("never", Original(reference()))


class AskedStore(MemoryObjectStore):
    """Notes which objects it was asked about."""

    def __init__(self) -> None:
        super().__init__("things")
        self.asked: list[str] = []

    def stat(self, bucket: str, key: str) -> StoredObject:
        """See `ObjectStore.stat`."""
        self.asked.append(key)
        return super().stat(bucket, key)


def test_a_scan_reads_each_entry_once(log: Log) -> None:
    """The listing tells the etags; under them an entry can be written, until somebody else did."""
    store = AskedStore()
    catalogue = Catalogue(store, "things")
    authority(catalogue, (store, "things"), log).put("a", b"1")
    store.asked.clear()
    [entry] = catalogue.scan()
    assert store.asked == []
    catalogue.write(entry)
    with pytest.raises(Conflict):
        catalogue.write(entry)


def test_the_catalogue_lists_and_tells_damage(
    images: CataloguedImages, catalogue: Catalogue, place: tuple[ObjectStore, str]
) -> None:
    """Entries come by id, from where one left off; a damaged one is an error, not an image."""
    for image_id in ("b", "a", "c"):
        images.put(image_id, b"1")
    assert [entry.state.image_id for entry in catalogue.scan()] == ["a", "b", "c"]
    assert [entry.state.image_id for entry in catalogue.scan(start_after="a")] == ["b", "c"]
    store, bucket = place
    store.put(bucket, "catalogue/b.json", b"{}")
    with pytest.raises(PermanentError):
        catalogue.read("b")
