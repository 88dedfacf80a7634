"""One suite over the object stores: S3 (a real MinIO), a directory, memory."""

from __future__ import annotations

import functools
import io
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import DISABLED, ENABLED, Filter
from minio.lifecycleconfig import (
    Expiration,
    LifecycleConfig,
    NoncurrentVersionExpiration,
    Rule,
)
from minio.versioningconfig import VersioningConfig
from pydantic import SecretStr

from sightline.engine.errors import (
    Conflict,
    ObjectMissing,
    ObjectRefused,
    PartUnavailable,
    TooLarge,
)
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import StoreSettings

HARD_KEYS = (
    "plain.jpg",
    "with blank.jpg",
    "ü/é/日本.png",
    "a+b%20c&d=e?.jpg",
    "deep/er/still",
    "deep/er",
    ".hidden",
    "x" * 250,
    "tilde~'quote\".jpg",
)


@pytest.fixture
def store(place: tuple[ObjectStore, str]) -> ObjectStore:
    """The store."""
    return place[0]


@pytest.fixture
def bucket(place: tuple[ObjectStore, str]) -> str:
    """The empty bucket."""
    return place[1]


@pytest.mark.parametrize("key", HARD_KEYS)
def test_any_key_comes_back(store: ObjectStore, bucket: str, key: str) -> None:
    """Blanks, accents, signs, dots and length in a key change nothing."""
    written = store.put(bucket, key, b"data", content_type="image/png")
    assert store.get(bucket, key) == b"data"
    found = store.stat(bucket, key)
    assert (found.key, found.size_bytes, found.etag) == (key, 4, written.etag)
    assert found.content_type == "image/png"
    assert found.modified is not None
    assert [item.key for item in store.list(bucket, "")] == [key]


def test_a_put_replaces(store: ObjectStore, bucket: str) -> None:
    """The last bytes stay, with another etag; empty objects are objects."""
    first = store.put(bucket, "k", b"one")
    second = store.put(bucket, "k", b"")
    assert store.get(bucket, "k") == b""
    assert first.etag != second.etag


@pytest.mark.parametrize(
    "key",
    [
        "never",
        "deep/never",
        "up/../never",
        "a//never",
        "nul\0",
        "x" * 300,
        "日" * 340,
        "/",
        "/never",
    ],
)
def test_what_is_missing_is_told(store: ObjectStore, bucket: str, key: str) -> None:
    """Reading one is `ObjectMissing`, or `ObjectRefused` under a name that no object can have."""
    with pytest.raises((ObjectMissing, ObjectRefused)):
        store.get(bucket, key)
    with pytest.raises((ObjectMissing, ObjectRefused)):
        store.stat(bucket, key)


def test_a_missing_bucket_is_told(store: ObjectStore) -> None:
    """Reading there is `ObjectMissing`; writing waits for somebody to make the bucket."""
    with pytest.raises(ObjectMissing):
        store.get("no-such-bucket-here", "k")
    with pytest.raises(PartUnavailable):
        store.put("no-such-bucket-here", "k", b"")


def test_an_object_over_the_bound_is_not_read(store: ObjectStore, bucket: str) -> None:
    """`max_bytes` itself passes, one byte more is `TooLarge`."""
    store.put(bucket, "k", b"12345")
    assert store.get(bucket, "k", max_bytes=5) == b"12345"
    with pytest.raises(TooLarge):
        store.get(bucket, "k", max_bytes=4)


def test_a_deleted_object_is_gone(store: ObjectStore, bucket: str) -> None:
    """Deleting twice is fine."""
    store.put(bucket, "a/k", b"1")
    store.delete(bucket, "a/k")
    store.delete(bucket, "a/k")
    with pytest.raises(ObjectMissing):
        store.get(bucket, "a/k")


def test_objects_are_listed_by_key(store: ObjectStore, bucket: str) -> None:
    """In order of UTF-8, under the prefix, after `start_after`; as strings, not as folders."""
    keys = ["a/1", "a/10", "a/2", "a/b/c", "a-b", "b/1", "é/1"]
    for key in keys:
        store.put(bucket, key, key.encode())
    assert [item.key for item in store.list(bucket, "")] == sorted(keys, key=str.encode)
    assert [item.key for item in store.list(bucket, "a/")] == ["a/1", "a/10", "a/2", "a/b/c"]
    assert [item.key for item in store.list(bucket, "a/1")] == ["a/1", "a/10"]
    assert [item.key for item in store.list(bucket, "a/", start_after="a/10")] == ["a/2", "a/b/c"]
    assert list(store.list(bucket, "zzz")) == []


def test_compare_and_set_creates_once(store: ObjectStore, bucket: str) -> None:
    """Without an etag it only creates; the loser changes nothing."""
    store.put_if(bucket, "k", b"first", expected_etag=None)
    with pytest.raises(Conflict):
        store.put_if(bucket, "k", b"second", expected_etag=None)
    assert store.get(bucket, "k") == b"first"


def test_compare_and_set_replaces_what_was_read(store: ObjectStore, bucket: str) -> None:
    """With the present etag it replaces, with an older one, or none stored, it is a conflict."""
    first = store.put_if(bucket, "k", b"1", expected_etag=None)
    assert store.stat(bucket, "k").etag == first.etag
    second = store.put_if(bucket, "k", b"2", expected_etag=first.etag)
    with pytest.raises(Conflict):
        store.put_if(bucket, "k", b"3", expected_etag=first.etag)
    assert store.get(bucket, "k") == b"2"
    assert store.stat(bucket, "k").etag == second.etag
    store.delete(bucket, "k")
    with pytest.raises(Conflict):
        store.put_if(bucket, "k", b"4", expected_etag=second.etag)


def test_of_racing_writers_one_wins(store: ObjectStore, bucket: str) -> None:
    """Sixteen threads that create, then sixteen that replace: one winner each, its bytes stay."""

    def race(expected: str | None) -> bytes:
        winners: list[bytes] = []
        start = threading.Barrier(16)

        def write(mine: bytes) -> None:
            start.wait()
            try:
                store.put_if(bucket, "k", mine, expected_etag=expected)
            except Conflict:
                return
            winners.append(mine)

        said = str(expected).encode()
        _together([functools.partial(write, b"%d-%s" % (n, said)) for n in range(16)])
        [winner] = winners
        return winner

    assert race(None) == store.get(bucket, "k")
    assert race(store.stat(bucket, "k").etag) == store.get(bucket, "k")


def test_a_reader_never_sees_half(store: ObjectStore, bucket: str) -> None:
    """While one writer replaces an object, every read is one of its whole values."""
    values = [bytes([n]) * 200_000 for n in range(8)]
    store.put(bucket, "k", values[0])
    over = threading.Event()
    seen: list[bytes] = []

    def read() -> None:
        while not over.is_set():
            seen.append(store.get(bucket, "k"))

    def write() -> None:
        for value in values * 3:
            store.put(bucket, "k", value)
        over.set()

    _together([read, read, write])
    assert seen
    assert set(seen) <= set(values)


def test_user_metadata_is_told_in_memory() -> None:
    """As by S3: names in lower case."""
    store = MemoryObjectStore("things")
    store.put_with_metadata("things", "k", b"1", {"Visibility": "public"})
    assert store.stat("things", "k").metadata == {"visibility": "public"}


def test_a_store_in_memory_can_be_down() -> None:
    """Every call then raises `PartUnavailable`, and what was stored is there again later."""
    store = MemoryObjectStore("things")
    store.put("things", "k", b"1")
    store.down = True
    calls: list[Callable[[], object]] = [
        lambda: store.get("things", "k"),
        lambda: store.put("things", "k", b"2"),
        lambda: store.put_if("things", "k", b"2", expected_etag=None),
        lambda: store.stat("things", "k"),
        lambda: store.delete("things", "k"),
        lambda: list(store.list("things", "")),
        lambda: store.ensure_bucket("things"),
    ]
    for call in calls:
        with pytest.raises(PartUnavailable):
            call()
    store.down = False
    assert store.get("things", "k") == b"1"


def test_user_metadata_is_told_by_s3(store_settings: StoreSettings) -> None:
    """What a plain S3 client said of its object reaches the bridge, names in lower case."""
    store = S3ObjectStore(store_settings)
    store._client.put_object(
        store_settings.bucket, "k", io.BytesIO(b"1"), 1, metadata={"Visibility": "public"}
    )
    assert store.stat(store_settings.bucket, "k").metadata == {"visibility": "public"}
    store.close()


@pytest.mark.parametrize(
    "broken",
    [
        {"endpoint": "127.0.0.1:9"},
        {"access_key": "nobody"},
        {"endpoint": "no-such-host.invalid:9000"},
    ],
)
def test_a_store_that_refuses_is_waited_for(
    store_settings: StoreSettings, broken: dict[str, str]
) -> None:
    """Nobody there, or closed doors: `PartUnavailable` from every call, never `ObjectMissing`."""
    store = S3ObjectStore(store_settings.model_copy(update={**broken, "timeout_s": 2.0}))
    bucket = store_settings.bucket
    calls: list[Callable[[], object]] = [
        lambda: store.get(bucket, "k"),
        lambda: store.put(bucket, "k", b"1"),
        lambda: store.put_if(bucket, "k", b"1", expected_etag=None),
        lambda: store.stat(bucket, "k"),
        lambda: store.delete(bucket, "k"),
        lambda: list(store.list(bucket, "")),
        lambda: store.ensure_bucket(bucket),
    ]
    for call in calls:
        with pytest.raises(PartUnavailable) as caught:
            call()
        assert store_settings.secret_key is not None
        assert store_settings.secret_key.get_secret_value() not in str(caught.value)
    store.close()


def _together(actions: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_whether_what_is_removed_stays_is_told(store: ObjectStore, bucket: str) -> None:
    """As long as nobody switches versions on, it does not."""
    assert not store.keeps_versions(bucket)


ENDED: dict[str, Any] = {
    "noncurrent_version_expiration": NoncurrentVersionExpiration(noncurrent_days=1)
}
RULES = {
    "none": (None, True),
    "of the whole bucket": (Rule(ENABLED, Filter(prefix=""), rule_id="a", **ENDED), False),
    "switched off": (Rule(DISABLED, Filter(prefix=""), rule_id="a", **ENDED), True),
    "of a folder": (Rule(ENABLED, Filter(prefix="images/"), rule_id="a", **ENDED), True),
    "of what is there": (
        Rule(ENABLED, Filter(prefix=""), rule_id="a", expiration=Expiration(days=1)),
        True,
    ),
}


@pytest.mark.parametrize(("rule", "kept"), RULES.values(), ids=RULES)
def test_versions_are_kept_where_no_rule_ends_them(
    store_settings: StoreSettings, rule: Rule | None, *, kept: bool
) -> None:
    """On S3, whose buckets keep none until somebody says so."""
    bucket = store_settings.bucket
    client = Minio(
        store_settings.endpoint,
        access_key=store_settings.access_key,
        secret_key=(store_settings.secret_key or SecretStr("")).get_secret_value(),
        secure=False,
    )
    client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    if rule is not None:
        client.set_bucket_lifecycle(bucket, LifecycleConfig([rule]))
    with closing(S3ObjectStore(store_settings)) as store:
        assert store.keeps_versions(bucket) is kept
