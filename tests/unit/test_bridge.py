"""The bucket bridge on a log and a store in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from sightline.engine.clock import ManualClock
from sightline.engine.errors import DeadLetterLimit, ObjectDenied, ObjectRefused
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Catalogue, CatalogueEntry
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.records import ProducerRecord, StoredObject, TopicPartition
from sightline.engine.settings import BridgeSettings, WorkerSettings
from sightline.producers.images.bucket_object import BucketObject
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.ids import id_of_object
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Visibility
from sightline.schemas.images import (
    Authority,
    ImageDeleted,
    ImageState,
    ImageUploaded,
    ObjectReference,
)
from sightline.schemas.registry import decode
from sightline.schemas.topics import BUCKET_NOTIFICATIONS, BUCKET_NOTIFICATIONS_DLQ, IMAGES
from sightline.stream_workers.bucket_bridge.bridge import BucketBridge
from tests.running_loops import running
from tests.waiting import eventually
from tests.worker_parts import MemoryConsumer, MemoryLog

OURS, WATCHED, GROUP = "sightline", "photos", "bridge"
COUNTED = "sightline_bucket_notifications_total"
PLACE = TopicPartition(BUCKET_NOTIFICATIONS.name, 0)


def told(name: str, *keys: str, bucket: str = WATCHED) -> bytes:
    """A notification of one event for each key."""
    records = [
        {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
        for key in keys
    ]
    return json.dumps({"Records": records}).encode()


CREATED, REMOVED = "s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete"
EXPIRED = "LifecycleExpiration:DeleteMarkerCreated"


class Doors(DirectoryObjectStore):
    """A store that keeps us out of some buckets, and describes some objects to nobody."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.denied: set[str] = set()
        self.refused: set[str] = set()
        self.lists = True
        for bucket in (OURS, WATCHED, "My_Photos"):
            self.ensure_bucket(bucket)

    def stat(self, bucket: str, key: str) -> StoredObject:
        """Refuse as S3 does, whether or not the object is there."""
        if bucket in self.denied:
            raise ObjectDenied(f"{bucket}/{key}: AccessDenied")
        if key in self.refused:
            raise ObjectRefused(f"{bucket}/{key}: InvalidRequest")
        return super().stat(bucket, key)

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[StoredObject]:
        """Refuse as S3 does whoever may not list."""
        if not self.lists:
            raise ObjectDenied(f"list {bucket}: AccessDenied")
        yield from super().list(bucket, prefix, start_after=start_after)


class Bridged:
    """A bridge at work over a log in memory and a store in a directory."""

    def __init__(self, root: Path) -> None:
        self.store = Doors(root)
        self.log = MemoryLog(ManualClock())
        self.metrics = Metrics(CollectorRegistry())
        clock = ManualClock()
        publisher = ImagePublisher(self.log, self.store, bucket=OURS, source="/test", clock=clock)
        self.publisher = publisher
        self.images = CataloguedImages(Catalogue(self.store, OURS), publisher)
        self._bridge = BucketBridge(
            consumer=MemoryConsumer(self.log, GROUP),
            producer=self.log,
            store=self.store,
            images=self.images,
            own_bucket=OURS,
            settings=BridgeSettings(),
            limits=WorkerSettings(),
            metrics=self.metrics,
            health=Health(clock),
        )

    def hear(self, *values: bytes) -> None:
        """Bridge these notifications, to the end."""
        for value in values:
            self.log.append(ProducerRecord(BUCKET_NOTIFICATIONS.name, "k", value))
        end = len(self.log.records[BUCKET_NOTIFICATIONS.name])
        with running(self._bridge.run):
            eventually(lambda: self.log.committed.get((GROUP, PLACE)) == end, timeout_s=10)

    def run_over(self, *values: bytes) -> None:
        """Bridge these until the bridge ends by itself."""
        for value in values:
            self.log.append(ProducerRecord(BUCKET_NOTIFICATIONS.name, "k", value))
        self._bridge.run(threading.Event())

    def states(self, key: str) -> list[ImageState]:
        """What was published of one object's image."""
        image_id = id_of_object(WATCHED, key).encode()
        return [decode(m.value).data for m in self.log.records[IMAGES.name] if m.key == image_id]

    def letters(self) -> int:
        """How many dead letters there are."""
        return len(self.log.records.get(BUCKET_NOTIFICATIONS_DLQ.name, []))

    def counted(self, result: str) -> float:
        """How many notifications ended so."""
        return self.metrics.registry.get_sample_value(COUNTED, {"result": result}) or 0.0


@pytest.fixture
def bridged(tmp_path: Path) -> Bridged:
    """A bridge, with an object `a.jpg` in the bucket that it watches."""
    made = Bridged(tmp_path)
    made.store.put(WATCHED, "a.jpg", b"first")
    return made


def test_a_damaged_entry_of_the_catalogue_is_written_anew(bridged: Bridged) -> None:
    """What the bucket holds tells all that the bridge needs to know of its own images."""
    bridged.store.put(OURS, f"catalogue/{id_of_object(WATCHED, 'a.jpg')}.json", b"not ours")
    bridged.store.put(WATCHED, "b.jpg", b"second")
    bridged.hear(told(CREATED, "a.jpg"), told(CREATED, "b.jpg"))
    assert bridged.letters() == 0
    assert (len(bridged.states("a.jpg")), len(bridged.states("b.jpg"))) == (1, 1)


@pytest.mark.parametrize("name", [CREATED, REMOVED, EXPIRED])
def test_the_image_follows_what_the_bucket_holds(bridged: Bridged, name: str) -> None:
    """Whatever a notification says: an old version was removed, the object is still there."""
    bridged.hear(told(name, "a.jpg"))
    (state,) = bridged.states("a.jpg")
    assert isinstance(state, ImageUploaded)
    bridged.hear(told(CREATED, "a.jpg"), told(REMOVED, "a.jpg"))
    assert len(bridged.states("a.jpg")) == 1


@pytest.mark.parametrize("name", [CREATED, REMOVED, EXPIRED])
def test_what_the_bucket_no_longer_holds_is_deleted(bridged: Bridged, name: str) -> None:
    """By any notification of it, late or out of order; a repeat changes nothing."""
    bridged.hear(told(CREATED, "a.jpg"))
    bridged.store.delete(WATCHED, "a.jpg")
    bridged.hear(told(name, "a.jpg"), told(name, "a.jpg", "never.jpg"))
    uploaded, removed = bridged.states("a.jpg")
    assert isinstance(removed, ImageDeleted)
    assert removed.version == uploaded.version + 1
    assert bridged.states("never.jpg") == []


def test_equal_bytes_put_again_are_a_new_version(bridged: Bridged) -> None:
    """They may replace ones that were gone when the worker looked for them."""
    bridged.hear(told(CREATED, "a.jpg"))
    bridged.store.put(WATCHED, "a.jpg", b"first")
    bridged.hear(told(CREATED, "a.jpg"))
    assert [state.version for state in bridged.states("a.jpg")] == [1, 2]


def test_what_is_known_of_an_image_stays(bridged: Bridged) -> None:
    """Its tags and visibility are its owner's, the bytes are the bucket's."""
    bridged.hear(told(CREATED, "a.jpg"))
    image_id = id_of_object(WATCHED, "a.jpg")
    bridged.images.patch(image_id, {"tags": ("kept",), "visibility": Visibility.PUBLIC})
    bridged.store.put(WATCHED, "a.jpg", b"second!")
    bridged.hear(told(CREATED, "a.jpg"))
    last = bridged.states("a.jpg")[-1]
    assert (last.tags, last.visibility) == (("kept",), Visibility.PUBLIC)
    assert last.object is not None
    assert last.object.size_bytes == 7


def test_no_hint_brings_back_what_was_deleted(bridged: Bridged) -> None:
    """An image of a backfill whose object is as it was; a new object brings it back."""
    image_id = id_of_object(WATCHED, "a.jpg")
    place = ObjectReference(bucket=WATCHED, key="a.jpg", size_bytes=5)
    filled = ImageUploaded(image_id=image_id, version=0, authority="backfill", object=place)
    catalogue, publisher = Catalogue(bridged.store, OURS), bridged.publisher
    known = CataloguedImages(catalogue, publisher, known={image_id: filled}.get)
    known.delete(image_id)
    bridged.hear(told(REMOVED, "a.jpg"), told(CREATED, "a.jpg"))
    assert [state.TYPE for state in bridged.states("a.jpg")] == [ImageDeleted.TYPE]
    bridged.store.put(WATCHED, "a.jpg", b"second")
    bridged.hear(told(CREATED, "a.jpg"))
    assert bridged.states("a.jpg")[-1].version == 2


def test_hidden_and_system_objects_begin_no_image(bridged: Bridged) -> None:
    """They are counted; an image that a backfill made of one follows it all the same."""
    for key in (".Trash/a.jpg", "x/@eaDir/a.jpg"):
        bridged.store.put(WATCHED, key, b"data")
        bridged.hear(told(CREATED, key))
        assert bridged.states(key) == []
    assert bridged.counted("hidden") == 2
    place = ObjectReference(bucket=WATCHED, key=".Trash/a.jpg", size_bytes=1)
    look = BucketObject(place, "earlier", Visibility.PUBLIC)
    bridged.images.follow_object(id_of_object(WATCHED, ".Trash/a.jpg"), lambda: look)
    bridged.hear(told(CREATED, ".Trash/a.jpg"))
    assert len(bridged.states(".Trash/a.jpg")) == 2


def test_a_look_is_never_older_than_what_it_replaces(bridged: Bridged) -> None:
    """A writer that looked before another one wrote looks again."""
    image_id = id_of_object(WATCHED, "a.jpg")

    def look(size_bytes: int) -> BucketObject:
        reference = ObjectReference(bucket=WATCHED, key="a.jpg", size_bytes=size_bytes)
        return BucketObject(reference, f"etag-{size_bytes}", Visibility.PRIVATE)

    looks = iter([1, 2])

    def slow() -> BucketObject:
        size_bytes = next(looks)
        if size_bytes == 1:
            bridged.images.follow_object(image_id, lambda: look(2))
        return look(size_bytes)

    bridged.images.follow_object(image_id, slow)
    assert [s.object and s.object.size_bytes for s in bridged.states("a.jpg")] == [2]


def test_each_record_has_its_own_outcome(bridged: Bridged) -> None:
    """A bad record, a name that no event can hold, our own bucket and events that say nothing."""
    records = json.loads(told(CREATED, "a.jpg"))["Records"]
    bridged.store.put("My_Photos", "a.jpg", b"data")
    bridged.hear(
        json.dumps({"Records": [{"eventName": CREATED}, *records]}).encode(),
        told(CREATED, "a.jpg", bucket="My_Photos"),
        told(CREATED, "images/x", bucket=OURS),
        told("ObjectRestore:Completed", *(["a.jpg"] * 101)),
    )
    assert len(bridged.states("a.jpg")) == 1
    assert bridged.letters() == 2
    assert bridged.counted("ignored") == 101
    assert bridged.counted("own_bucket") == 1


def test_a_bucket_that_may_not_be_read_is_a_dead_letter_and_no_outage(bridged: Bridged) -> None:
    """Whoever lets the bridge in replays it; a removal is believed, since 403 may mean gone."""
    bridged.hear(told(CREATED, "a.jpg"))
    bridged.store.denied.add(WATCHED)
    bridged.store.lists = False
    bridged.hear(told(CREATED, "b.jpg"), told(REMOVED, "a.jpg"))
    assert bridged.letters() == 1
    assert isinstance(bridged.states("a.jpg")[-1], ImageDeleted)


def test_a_removal_is_not_believed_of_what_is_listed(bridged: Bridged) -> None:
    """An old version went; the present one may not be read, its key of encryption is disabled."""
    bridged.store.put(WATCHED, "b.jpg", b"goes")
    bridged.hear(told(CREATED, "a.jpg", "b.jpg"))
    bridged.store.delete(WATCHED, "b.jpg")
    bridged.store.denied.add(WATCHED)
    bridged.hear(told(REMOVED, "a.jpg", "b.jpg"))
    assert isinstance(bridged.states("a.jpg")[-1], ImageUploaded)
    assert isinstance(bridged.states("b.jpg")[-1], ImageDeleted)
    assert bridged.letters() == 1


def test_strangers_objects_never_stop_the_bridge(bridged: Bridged) -> None:
    """Far more of them than the limit: each is a dead letter, the next image is bridged."""
    bridged.store.denied.add("My_Photos")
    many = [told(CREATED, f"{number}.jpg", bucket="My_Photos") for number in range(130)]
    bridged.hear(*many, told(CREATED, "a.jpg"))
    assert bridged.letters() == bridged.counted("dead_lettered") == 130
    assert len(bridged.states("a.jpg")) == 1


def test_a_topic_of_something_else_stops_the_bridge(bridged: Bridged) -> None:
    """What is no notification at all comes of a misconfiguration: it is not buried whole."""
    with pytest.raises(DeadLetterLimit, match=r"worker\.dead_letter_limit"):
        bridged.run_over(*[b"no notification"] * 130)
    assert bridged.letters() == WorkerSettings().dead_letter_limit
    assert bridged.log.committed[GROUP, PLACE] <= WorkerSettings().dead_letter_limit


def test_the_bridge_builds_upon_nothing_that_a_stranger_wrote(bridged: Bridged) -> None:
    """Of an entry from before derived ids were refused; what an operator changed is kept."""
    image_id = id_of_object(WATCHED, "a.jpg")
    theirs = ImageUploaded(
        image_id=image_id,
        version=1,
        authority=Authority.SIGHTLINE,
        object=ObjectReference(bucket=OURS, key="k", size_bytes=1),
        visibility=Visibility.PUBLIC,
        owner_id="stranger",
    )
    event = Event[ImageState].of(theirs, event_id="e", source="/test", time=ManualClock().now())
    Catalogue(bridged.store, OURS).write(CatalogueEntry(event=event))
    bridged.hear(told(CREATED, "a.jpg"))
    [state] = bridged.states("a.jpg")
    assert (state.version, state.owner_id, state.visibility) == (2, None, Visibility.PRIVATE)
    bridged.images.patch(image_id, {"visibility": "public", "owner_id": "shop"})
    bridged.store.put(WATCHED, "a.jpg", b"other bytes")
    bridged.hear(told(CREATED, "a.jpg"))
    state = bridged.states("a.jpg")[-1]
    assert (state.version, state.owner_id, state.visibility) == (4, "shop", Visibility.PUBLIC)


@pytest.mark.parametrize("name", [CREATED, REMOVED])
def test_an_object_that_the_store_will_not_describe_is_there(bridged: Bridged, name: str) -> None:
    """Encrypted with a key that we have not, say: its image stays, or begins as a private one."""
    bridged.hear(told(CREATED, "a.jpg"))
    bridged.store.put(WATCHED, "a.jpg", b"sealed")
    bridged.store.put(WATCHED, "b.jpg", b"sealed, too")
    bridged.store.put(WATCHED, "b.jpg.sealed", b"another one")
    bridged.store.refused |= {"a.jpg", "b.jpg"}
    bridged.hear(told(name, "a.jpg"), told(name, "b.jpg"))
    assert bridged.letters() == 0
    for key in ("a.jpg", "b.jpg"):
        state = bridged.states(key)[-1]
        assert isinstance(state, ImageUploaded)
        assert state.object.key == key
        assert state.object.size_bytes == len(bridged.store.get(WATCHED, key))
    assert bridged.states("b.jpg")[0].visibility is Visibility.PRIVATE


def test_an_object_that_is_neither_described_nor_listed_is_told(bridged: Bridged) -> None:
    """Gone, where the notification says so; else nobody knows, which is a dead letter."""
    bridged.hear(told(CREATED, "a.jpg"))
    bridged.store.delete(WATCHED, "a.jpg")
    bridged.store.refused |= {"a.jpg", "b.jpg"}
    bridged.hear(told(CREATED, "b.jpg"), told(REMOVED, "a.jpg"))
    assert bridged.letters() == 1
    assert isinstance(bridged.states("a.jpg")[-1], ImageDeleted)
    assert bridged.states("b.jpg") == []
