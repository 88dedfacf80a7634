"""Records that the store will not hand out, or far too large: told, and in nobody's way."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.embedding.model_registry import ModelRegistry, model_key
from sightline.engine.errors import NotFound, ObjectRefused, Unreadable
from sightline.engine.label_data.grading_pools import load_pool
from sightline.engine.label_data.propensity import curve_key, latest_curve
from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.object_store.catalogue import Catalogue, Decisions, Entries
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.object_store.entries import Entry
from sightline.engine.object_store.lease import Lease
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.object_store.noted_times import noted_time
from sightline.engine.ports import ObjectStore
from sightline.engine.records import StoredObject
from sightline.engine.serving.kept_matrices import KeptMatrices
from sightline.engine.serving.record import ServingRecord
from sightline.engine.signing_secret import SECRET_KEY, stored_secret
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageState
from sightline.search_api.operations.readiness import store_probe
from sightline.stream_workers.labels.sink.last_retraction import KEY as LAST_ROUND
from sightline.stream_workers.labels.sink.last_retraction import read_last
from tests.conftest import ROOT
from tests.indexed_images import NOON, decision, image

BUCKET = "sightline"
LARGE = b" " * (2 * 1_048_576)
SHA = "0" * 64


class Refusing(MemoryObjectStore):
    """Lists its objects and hands out none."""

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """Refuse what is there, as a store does whose keys of encryption we have not."""
        del max_bytes
        self.stat(bucket, key)
        return b""

    def stat(self, bucket: str, key: str) -> StoredObject:
        """Refuse what is there."""
        super().stat(bucket, key)
        raise ObjectRefused(f"{bucket}/{key}: InvalidRequest")


def of_damaged_files(folder: Path) -> ObjectStore:
    """A directory whose files lose their heads, as after a fault of the disk."""

    class Damaging(DirectoryObjectStore):
        def put(
            self, bucket: str, key: str, data: bytes, *, content_type: str = "text/plain"
        ) -> StoredObject:
            written = super().put(bucket, key, data, content_type=content_type)
            self._path(bucket, key).write_bytes(b"")
            return written

    store = Damaging(folder)
    store.ensure_bucket(BUCKET)
    return store


@pytest.fixture(params=["too large", "refused", "damaged"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A store of which no record can be read."""
    if request.param == "damaged":
        return of_damaged_files(tmp_path)
    return (Refusing if request.param == "refused" else MemoryObjectStore)(BUCKET)


ENTRIES: dict[str, tuple[type[Entries[Any]], Event[Any]]] = {
    "images": (
        Catalogue,
        Event[ImageState].of(image("odd", 7).state, event_id="e", source="/test", time=NOON),
    ),
    "decisions": (Decisions, decision("odd", 7).event),
}


@pytest.mark.parametrize("kept", [Catalogue, Decisions])
def test_an_unreadable_entry_of_a_catalogue_stops_nothing(
    store: ObjectStore, kept: type[Entries[Any]]
) -> None:
    """It is listed as one that cannot be read, and passed over by every look and scan."""
    entries = kept(store, BUCKET)
    store.put(BUCKET, f"{kept.prefix}odd.json", LARGE)
    for looked in (entries.look("odd"), *(one for _, one in entries.look_at_all())):
        assert looked.unreadable
    assert [image_id for image_id, _ in entries.look_at_all()] == ["odd"]
    assert list(entries.scan()) == []
    for read in (entries.read, entries.peek):
        with pytest.raises(Unreadable, match="odd"):
            read("odd")


@pytest.mark.parametrize("of", ["images", "decisions"])
def test_an_entry_of_another_image_is_none_of_this_one(of: str) -> None:
    """As after a copy by hand: nothing is done to the other one, and who may replaces it."""
    entries, event = ENTRIES[of]
    store = MemoryObjectStore(BUCKET)
    kept = entries(store, BUCKET)
    written = kept.write(Entry(event=event))
    store.put(BUCKET, f"{kept.prefix}copy.json", store.get(BUCKET, f"{kept.prefix}odd.json"))
    assert kept.look("copy").unreadable
    assert [entry.state.subject for entry in kept.scan()] == ["odd"]
    for read in (kept.read, kept.peek):
        with pytest.raises(Unreadable, match="copy"):
            read("copy")
    with pytest.raises(Unreadable):
        kept.update("copy", lambda entry: entry)
    assert kept.read("odd") == written


@pytest.mark.parametrize("of", ["images", "decisions"])
def test_an_unreadable_entry_is_replaced_by_who_may(store: ObjectStore, of: str) -> None:
    """An operator's block or delete takes its place; anybody else's write is refused."""
    entries, event = ENTRIES[of]
    kept = entries(store, BUCKET)
    store.put(BUCKET, f"{kept.prefix}odd.json", LARGE)
    with pytest.raises(Unreadable):
        kept.update("odd", lambda _: Entry(event=event))
    written = kept.update("odd", lambda _: Entry(event=event), mend=True)
    assert written is not None
    assert written.state.version == 7


READERS: dict[str, tuple[str, Callable[[ObjectStore], object], object]] = {
    "pool": ("labels/pools/odd.json", lambda s: load_pool(s, BUCKET, "odd"), NotFound),
    "propensity": (curve_key(1), lambda s: latest_curve(s, BUCKET), Unreadable),
    "manifest": (
        "labels/t/manifest/odd.json",
        lambda s: list(TripleManifest(s, BUCKET, "t").entries()),
        Unreadable,
    ),
    "last round": (LAST_ROUND, lambda s: read_last(s, BUCKET), None),
    "noted time": ("noted", lambda s: noted_time(s, BUCKET, "noted", now=NOON), None),
    "serving": (
        "serving/photos/state.json",
        lambda s: ServingRecord(s, BUCKET, "photos").find(),
        Unreadable,
    ),
    "matrix": (
        f"serving/photos/g-1/matrix/{SHA}",
        lambda s: KeptMatrices(s, BUCKET, "photos").find("g-1", SHA, f"m@{SHA}"),
        None,
    ),
    "model": (
        model_key("m", SHA, "config.json"),
        lambda s: ModelRegistry(s, BUCKET).config("m", SHA),
        Unreadable,
    ),
    "secret": (SECRET_KEY, lambda s: stored_secret(s, BUCKET), Unreadable),
    "probe": ("catalogue/readyz", lambda s: store_probe(s, BUCKET)(), None),
}


@pytest.mark.parametrize("name", READERS)
def test_a_record_that_cannot_be_read_is_told_as_that(store: ObjectStore, name: str) -> None:
    """By each reader in its own words, or as if it were not there; never as the store's fault."""
    key, read, ends = READERS[name]
    store.put(BUCKET, key, LARGE)
    if isinstance(ends, type):
        with pytest.raises(ends):
            read(store)
    else:
        assert read(store) is ends


def test_an_unreadable_lease_holds_nobody_up(store: ObjectStore) -> None:
    """Nobody can read it, so nobody holds it."""
    store.put(BUCKET, "lease.json", LARGE)
    assert Lease(store, BUCKET, "lease.json", lasts_s=5, clock=ManualClock(NOON)).take()


def test_records_are_read_in_one_place() -> None:
    """Whoever reads from the store otherwise reads pictures, or what anybody may have put there."""
    rooms = ("engine", "producers", "search_api", "stream_workers", "infra", "training")
    files = (file for room in rooms for file in (ROOT / room).rglob("*.py"))
    readers = {str(file.relative_to(ROOT)) for file in files if _reads(file.read_text())}
    assert readers == {
        "engine/stored_records.py",
        "infra/commands/learning/stored_pictures.py",
        "infra/doctor/store.py",
        "search_api/images/renditions.py",
        "stream_workers/indexing/fetch.py",
        "stream_workers/indexing/open_buckets.py",
        "stream_workers/reindexing/stored_picture.py",
        "training/datasets/picture_features.py",
        "training/datasets/stored_crops.py",
    }


def _reads(source: str) -> bool:
    """Whether a module calls `get` of a store."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))
    return any(call.attr == "get" and ast.unparse(call.value).endswith("store") for call in calls)
