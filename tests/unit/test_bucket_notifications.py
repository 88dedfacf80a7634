"""Bucket notifications as MinIO and AWS send them, and what is no notification."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Visibility
from sightline.stream_workers.bucket_bridge.notifications import (
    ObjectNotice,
    parse_notification,
    said_visibility,
)


def notification(name: str = "s3:ObjectCreated:Put", **item: Any) -> bytes:
    """A message with one record."""
    stored = {"key": "a.jpg", "size": 3, "sequencer": "187A1B2C3D4E5F60"} | item
    record = {"eventName": name, "s3": {"bucket": {"name": "photos"}, "object": stored}}
    return json.dumps({"EventName": name, "Key": "photos/a.jpg", "Records": [record]}).encode()


def one(value: bytes) -> ObjectNotice:
    """The only notice of a message."""
    (notice,) = parse_notification(value)
    return notice


def test_keys_are_unquoted() -> None:
    """Blanks come as plus signs, accents as escapes; the id is of the real key."""
    notice = one(notification(key="summer+2026%2Fcaf%C3%A9+%2B1.jpg"))
    assert notice.key == "summer 2026/café +1.jpg"
    digest = hashlib.sha256("photos\0summer 2026/café +1.jpg".encode()).hexdigest()
    assert notice.image_id == f"s3-{digest[:32]}"
    assert notice.reference is not None
    assert notice.reference.key == notice.key
    assert notice.reference.sha256 is None


def test_the_sequencer_is_microseconds() -> None:
    """Hex nanoseconds divided by a thousand, exact in a float64."""
    sequencer = one(notification()).sequencer
    assert sequencer == 0x187A1B2C3D4E5F60 // 1_000
    assert sequencer < 2**53


@pytest.mark.parametrize("name", ["s3:ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated"])
def test_removed_objects_have_no_reference(name: str) -> None:
    """With or without the prefix that only MinIO sends."""
    assert one(notification(name)).reference is None


@pytest.mark.parametrize(
    "value",
    [
        notification("s3:ObjectAccessed:Get"),
        notification(key="folder%2F"),
        b'{"Service": "Amazon S3", "Event": "s3:TestEvent"}',
        b'{"Records": []}',
    ],
)
def test_other_events_say_nothing(value: bytes) -> None:
    """Reads, folders, the test event and empty lists are no one's images."""
    assert parse_notification(value) == []


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (None, ""),
        (b"{", ""),
        (b"{}", "Records"),
        (notification(sequencer="xyz"), "Records.0.s3.object.sequencer"),
        (notification(key=""), "Records.0.s3.object.key"),
        (notification(key="k" * 2_000), "key"),
    ],
)
def test_what_is_malformed_names_the_field(value: bytes | None, field: str) -> None:
    """The dead letter says what is wrong."""
    with pytest.raises(ContractError) as error:
        parse_notification(value)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"x-amz-meta-visibility": "public"}, Visibility.PUBLIC),
        ({"visibility": "PUBLIC"}, Visibility.PUBLIC),
        ({"x-amz-meta-visibility": "everyone"}, Visibility.PRIVATE),
        ({}, Visibility.PRIVATE),
    ],
)
def test_visibility_is_what_the_uploader_said(
    metadata: dict[str, str], expected: Visibility
) -> None:
    """Else the setting; an unknown word is not taken for public."""
    assert said_visibility(metadata, Visibility.PRIVATE) is expected
