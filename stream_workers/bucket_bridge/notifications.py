"""S3 bucket notifications, MinIO's and AWS's, to what happened to which object: pure parsing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Contract, Visibility
from sightline.schemas.images import ObjectReference

_CREATED = "ObjectCreated:"
_REMOVED = "ObjectRemoved:"
_TEST_EVENT = "s3:TestEvent"
_VISIBILITY = "x-amz-meta-visibility"
_NS_PER_STEP = 1_000
"""The sequencer counts nanoseconds in hex; ÷ 1,000 keeps it below 2⁵³ (docs/images.md)."""


class _Bucket(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=63)]


class _Object(BaseModel):
    key: Annotated[str, Field(min_length=1)]
    size: Annotated[int, Field(ge=0)] = 0
    sequencer: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{1,32}$")]
    content_type: Annotated[str | None, Field(alias="contentType")] = None
    user_metadata: Annotated[dict[str, str] | None, Field(alias="userMetadata")] = None


class _S3(BaseModel):
    bucket: _Bucket
    object: _Object


class _Record(BaseModel):
    event_name: Annotated[str, Field(alias="eventName")]
    s3: _S3


class _Notification(BaseModel):
    model_config = ConfigDict(extra="ignore")

    records: Annotated[list[_Record], Field(alias="Records", max_length=1_000)]


class _TestEvent(BaseModel):
    event: Annotated[str, Field(alias="Event")]


class ObjectNotice(Contract):
    """One object was created, with its reference, or removed, without."""

    bucket: str
    key: str
    sequencer: int
    """Microseconds; grows with every event of one object."""
    reference: ObjectReference | None
    metadata: dict[str, str] | None = None
    """User metadata, names in lower case; None: the notification does not say."""

    @property
    def image_id(self) -> str:
        """`s3-` and 32 hex digits of SHA-256(bucket NUL key) (docs/images.md)."""
        place = f"{self.bucket}\0{self.key}".encode()
        return "s3-" + hashlib.sha256(place).hexdigest()[:32]


def parse_notification(value: bytes | None) -> list[ObjectNotice]:
    """What a message says, in its order; other events, folders and AWS's test event say nothing.

    Raises:
        ContractError: not JSON, not a bucket notification, or a field is missing or out of bounds.
    """
    if value is None:
        raise ContractError("", "the message has no value")
    try:
        notification = _Notification.model_validate_json(value)
        notices = [_notice(record) for record in notification.records]
    except ValidationError as error:
        if _is_test_event(value):
            return []
        raise ContractError.of(error) from error
    return [notice for notice in notices if notice is not None]


def _notice(record: _Record) -> ObjectNotice | None:
    kind = record.event_name.removeprefix("s3:")
    item = record.s3.object
    key = unquote_plus(item.key)
    if key.endswith("/") or not kind.startswith((_CREATED, _REMOVED)):
        return None
    fields: dict[str, Any] = {"bucket": record.s3.bucket.name, "key": key}
    reference = None
    if kind.startswith(_CREATED):
        kept = {"content_type": item.content_type} if item.content_type else {}
        reference = ObjectReference.model_validate(fields | kept | {"size_bytes": item.size})
    return ObjectNotice(
        bucket=fields["bucket"],
        key=key,
        sequencer=int(item.sequencer, 16) // _NS_PER_STEP,
        reference=reference,
        metadata=None if item.user_metadata is None else _lower(item.user_metadata),
    )


def _lower(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in metadata.items()}


def _is_test_event(value: bytes) -> bool:
    try:
        return _TestEvent.model_validate_json(value).event == _TEST_EVENT
    except ValidationError:
        return False


def said_visibility(metadata: Mapping[str, str], otherwise: Visibility) -> Visibility:
    """What `x-amz-meta-visibility` says; `otherwise` where it is absent or unknown."""
    said = metadata.get(_VISIBILITY, metadata.get("visibility", "")).strip().lower()
    return Visibility(said) if said in set(Visibility) else otherwise
