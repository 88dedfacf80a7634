"""Bucket notifications as AWS, MinIO and Ceph send them, and what tells of no change."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from sightline.engine.records import StoredObject
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Visibility
from sightline.stream_workers.bucket_bridge.notifications import (
    ObjectNotice,
    read_notification,
)
from sightline.stream_workers.bucket_bridge.seen import said_visibility, seen_object

AWS: dict[str, Any] = {
    "eventVersion": "2.3",
    "eventSource": "aws:s3",
    "awsRegion": "eu-central-1",
    "eventTime": "2026-11-01T10:00:00.000Z",
    "eventName": "LifecycleExpiration:DeleteMarkerCreated",
    "s3": {
        "s3SchemaVersion": "1.0",
        "bucket": {"name": "photos", "arn": "arn:aws:s3:::photos"},
        "object": {"key": "sommer/caf%C3%A9+1.jpg", "sequencer": "0055AED6DCD90281E5"},
    },
}
MINIO: dict[str, Any] = {
    "eventVersion": "2.0",
    "eventSource": "minio:s3",
    "eventName": "s3:ObjectCreated:Put",
    "s3": {
        "bucket": {"name": "photos", "ownerIdentity": {"principalId": "minio"}},
        "object": {
            "key": "sommer%2Fcaf%C3%A9%2B1+2%2520.jpg",
            "size": 5,
            "eTag": "8b04d5e3775d298e78455efc5ca404d5",
            "contentType": "image/jpeg",
            "userMetadata": {"content-type": "image/jpeg"},
            "sequencer": "187A1B2C3D4E5F60",
        },
    },
    "source": {"host": "127.0.0.1", "port": "", "userAgent": "client"},
}
CEPH: dict[str, Any] = {
    "eventVersion": "2.2",
    "eventSource": "ceph:s3",
    "eventName": "ObjectLifecycle:Expiration:Current",
    "s3": {
        "bucket": {"name": "photos", "id": "503a4c37.5332.38"},
        "object": {
            "key": "sommer/caf\u00e9+1%20.jpg",
            "size": "1024",
            "sequencer": "F7E6D75DC742D108",
            "metadata": [],
        },
    },
}


def other(store: dict[str, Any], name: str, **stored: Any) -> dict[str, Any]:
    """The store's record of another event, about this object."""
    return store | {"eventName": name, "s3": store["s3"] | {"object": stored}}


AWS_CREATED = other(
    AWS,
    "ObjectCreated:CompleteMultipartUpload",
    key="sommer/%C3%A9t%C3%A9+2.jpg",
    size=1024,
    eTag="d41d8cd98f00b204e9800998ecf8427e-2",
    versionId="096fKKXTRTtl3on89fVO.nfljtsv6qko",
    sequencer="0055AED6DCD90281E6",
)
MINIO_REMOVED = other(
    MINIO,
    "s3:ObjectRemoved:DeleteMarkerCreated",
    key="sommer%2F%C3%A9t%C3%A9+2.jpg",
    versionId="3e100e90-ae87-4f5f-ac14-f146ef9d1e31",
    sequencer="187A1B2C3D4E5F61",
)
CEPH_CREATED = other(
    CEPH,
    "ObjectCreated:Put",
    key="sommer/\u00e9t\u00e9+2.jpg",
    size="1024",
    eTag="37b51d194a7513e45b56f6524f2d51f2",
    versionId="",
    sequencer="F7E6D75DC742D109",
    metadata=[{"key": "x-amz-meta-visibility", "val": "public"}],
    tags=[],
)
"""One creation and one removal of each store, in the form of its documentation:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
https://github.com/minio/minio/tree/master/docs/bucket/notifications,
https://docs.ceph.com/en/latest/radosgw/notifications/#events."""


def record(name: str = "s3:ObjectCreated:Put", bucket: str = "photos", **item: Any) -> Any:
    """One record, as MinIO writes it."""
    stored = {"key": "a.jpg", "size": 3, "sequencer": "187A1B2C3D4E5F60"} | item
    return {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": stored}}


def message(*records: Any) -> bytes:
    """One message."""
    return json.dumps({"EventName": "x", "Key": "photos/a.jpg", "Records": records}).encode()


def one(value: bytes) -> ObjectNotice:
    """The only notice of a message."""
    (notice,) = read_notification(value).notices
    return notice


@pytest.mark.parametrize(
    ("sent", "removed", "key"),
    [
        (AWS, True, "sommer/caf\u00e9 1.jpg"),
        (MINIO, False, "sommer/caf\u00e9+1 2%20.jpg"),
        (CEPH, True, "sommer/caf\u00e9+1%20.jpg"),
        (AWS_CREATED, False, "sommer/\u00e9t\u00e9 2.jpg"),
        (MINIO_REMOVED, True, "sommer/\u00e9t\u00e9 2.jpg"),
        (CEPH_CREATED, False, "sommer/\u00e9t\u00e9+2.jpg"),
    ],
    ids=["aws", "minio", "ceph", "aws created", "minio removed", "ceph created"],
)
def test_each_store_tells_of_its_objects(
    sent: Any,
    removed: bool,  # noqa: FBT001
    key: str,
) -> None:
    """AWS and MinIO encode the key, Ceph does not; the id is of the real key."""
    notice = one(message(sent))
    assert (notice.bucket, notice.key) == ("photos", key)
    assert notice.removed is removed
    digest = hashlib.sha256(f"photos\0{key}".encode()).hexdigest()
    assert notice.image_id == f"s3-{digest[:32]}"


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("0055AED6DCD90281E5", "0055AED6DE"),
        ("0055AED6DC", "0055AED6DCD90281E5"),
        ("00617F08299329D189", "00617F0829FF"),
        ("187A1B2C3D4E5F60", "187a1b2c3d4e5f61"),
    ],
)
def test_sequencers_compare_padded_on_the_right(first: str, later: str) -> None:
    """As text, whatever their lengths and case."""
    older, newer = (one(message(record(sequencer=s))).sequencer for s in (first, later))
    assert older is not None
    assert newer is not None
    assert older < newer


@pytest.mark.parametrize(
    ("name", "removed"),
    [
        ("ObjectSynced:Create", False),
        ("s3:ObjectSynced:Delete", True),
        ("ObjectSynced:DeletionMarkerCreated", True),
        ("s3:ObjectRemoved:DeleteAllVersions", True),
        ("s3:ObjectRemoved:NoOP", True),
    ],
)
def test_a_change_is_told_of_whoever_made_it(name: str, removed: bool) -> None:  # noqa: FBT001
    """Another zone of Ceph, or a rule of MinIO."""
    assert one(message(record(name))).removed is removed


@pytest.mark.parametrize("odd", [None, 7, "", "xyz", "F" * 33])
def test_a_hint_needs_no_sequencer(odd: object) -> None:
    """The bridge looks at the bucket, so an order that cannot be read loses nothing."""
    assert one(message(record(sequencer=odd))).sequencer is None


@pytest.mark.parametrize(
    "value",
    [
        *(
            message({"eventName": name, "s3": {"object": {"key": "a"}}})
            for name in (
                "s3:ObjectAccessed:Get",
                "ObjectRestore:Completed",
                "ObjectTagging:Put",
                "ObjectAcl:Put",
                "LifecycleTransition",
                "IntelligentTiering",
                "Replication:OperationMissedThreshold",
                "ReducedRedundancyLostObject",
            )
        ),
        message(record(key="folder%2F")),
        b'{"Service": "Amazon S3", "Event": "s3:TestEvent"}',
    ],
)
def test_what_tells_of_no_change_is_ignored_and_counted(value: bytes) -> None:
    """Reads, moves, folders and the test event, with or without a sequencer."""
    said = read_notification(value)
    assert (list(said.notices), said.ignored, list(said.refused)) == ([], 1, [])


def test_no_records_are_nothing() -> None:
    """Not even something to count."""
    said = read_notification(b'{"Records": []}')
    assert (list(said.notices), said.ignored, list(said.refused)) == ([], 0, [])


@pytest.mark.parametrize(
    "between",
    [
        record(contentType="image/jpeg; name=" + "x" * 150),
        record(bucket="My_Photos"),
        record(size=None),
        record(size="1024", userMetadata=["odd"]),
        record("ObjectRestore:Completed", sequencer=None),
    ],
)
def test_what_a_hint_does_not_need_may_be_odd(between: Any) -> None:
    """Size, type and metadata are looked up in the bucket."""
    said = read_notification(message(record(key="a"), between, record(key="c")))
    assert {"a", "c"} <= {notice.key for notice in said.notices}
    assert list(said.refused) == []


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({}, "eventName"),
        ([], ""),
        (None, ""),
        ({"eventName": 7}, "eventName"),
        (record(key=""), "s3.object.key"),
        (record(key=7), "s3.object.key"),
        (record(key="k" * 4_000), "s3.object.key"),
        (record(key="%FF%FE.jpg"), "s3.object.key"),
        (record(bucket=""), "s3.bucket.name"),
        ({"eventName": "ObjectCreated:Put"}, "s3"),
        ({"eventName": "ObjectRemoved:Delete", "s3": [1]}, "s3"),
    ],
)
def test_one_bad_record_costs_itself_only(broken: Any, field: str) -> None:
    """Its neighbours are told of, and it names its place and field."""
    said = read_notification(message(record(key="a"), broken, record(key="c")))
    assert [notice.key for notice in said.notices] == ["a", "c"]
    (refused,) = said.refused
    assert refused.field == f"Records.1.{field}".rstrip(".")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        (b"{", ""),
        (b"{}", "Records"),
        (b"[" * 10_000, ""),
        (b'{"Records": 1}', "Records"),
    ],
)
def test_what_is_no_notification_names_the_field(value: bytes | None, field: str) -> None:
    """The dead letter says what is wrong."""
    with pytest.raises(ContractError) as error:
        read_notification(value)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"visibility": "public"}, Visibility.PUBLIC),
        ({"visibility": " PUBLIC "}, Visibility.PUBLIC),
        ({"visibility": "everyone"}, Visibility.PRIVATE),
        ({"visibility": "privat"}, Visibility.PRIVATE),
        ({"visibility": "public, private"}, Visibility.PRIVATE),
        ({"visibility": "=?UTF-8?q?private?="}, Visibility.PRIVATE),
        ({"visibility": " "}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("otherwise", Visibility)
def test_visibility_is_what_the_uploader_said(
    metadata: dict[str, str], expected: Visibility | None, otherwise: Visibility
) -> None:
    """The setting where nothing was said; a word that is none hides, whatever the setting."""
    assert said_visibility(metadata, otherwise) is (expected or otherwise)


def test_a_long_content_type_is_cut() -> None:
    """It is only a hint, as in a backfill; it never costs an image."""
    found = StoredObject(bucket="photos", key="a", size_bytes=1, etag="e", content_type="x" * 151)
    assert len(seen_object(found, Visibility.PRIVATE).reference.content_type) == 128


@pytest.mark.parametrize("raw", [b"caf\xe9", b"\xff\xfe", b"a\tb", b"\x00\x01"])
def test_metadata_that_are_no_text_spoil_nothing(raw: bytes) -> None:
    """Ceph passes on what the uploader sent; nobody reads it here."""
    sent = message(record(key="a.jpg", metadata={"note": "RAW"}), record(key="b.jpg"))
    told = read_notification(sent.replace(b"RAW", raw))
    assert [notice.key for notice in told.notices] == ["a.jpg", "b.jpg"]
    assert list(told.refused) == []


def test_a_key_that_is_no_text_is_refused_alone() -> None:
    """Another object could have the key that is left of it."""
    told = read_notification(message(record(key="RAW.jpg"), record()).replace(b"RAW", b"caf\xe9"))
    assert [notice.key for notice in told.notices] == ["a.jpg"]
    assert [error.field for error in told.refused] == ["Records.0.s3.object.key"]
    assert one(message(record(key="\ufffd.jpg"))).key == "\ufffd.jpg"
