"""S3 bucket notifications, AWS's, MinIO's and Ceph's, to the objects to look at: pure parsing.

A notification is a hint that something happened to an object. What it says of size, type or
metadata is not used: the bridge looks at what the bucket holds now (docs/images.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, NamedTuple
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Contract

_MADE = ("ObjectCreated:", "ObjectSynced:Create")
_REMOVED = (
    *("ObjectRemoved:", "LifecycleExpiration:"),
    *("ObjectLifecycle:Expiration", "ObjectSynced:Delet"),
)
"""Event names, without `s3:`. Ceph's are the last two, and `ObjectSynced`, which a zone tells of
what was done in another: `Create`, `Delete`, `DeletionMarkerCreated`."""
_UNCODED_SOURCE = "ceph:"
"""Ceph writes an object's key as it is; AWS and MinIO write it URL-encoded."""
_MAX_RECORDS = 1_000
_MAX_KEY_BYTES = 1_024
"""S3's own bound of a key."""
_SEQUENCER_DIGITS = 32
_LOST = "\ufffd"
"""Stands for bytes that were no UTF-8; in a key, it names another object or none."""


class _Named(BaseModel):
    model_config = ConfigDict(strict=True)

    event_name: Annotated[str, Field(alias="eventName")]
    event_source: Annotated[str, Field(alias="eventSource")] = ""


class _Bucket(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=255)]
    """Buckets of before 2018 may have 255 characters, capitals and underscores."""


class _Object(BaseModel):
    key: Annotated[str, Field(min_length=1, max_length=3 * _MAX_KEY_BYTES)]
    sequencer: JsonValue = None


class _S3(BaseModel):
    model_config = ConfigDict(strict=True)

    bucket: _Bucket
    object: _Object


class _Changed(BaseModel):
    s3: _S3


class _Notification(BaseModel):
    records: Annotated[list[JsonValue], Field(alias="Records", max_length=_MAX_RECORDS)]


class _TestEvent(BaseModel):
    event: Annotated[str, Field(alias="Event")]


class ObjectNotice(Contract):
    """One object that a bucket notification says has changed."""

    bucket: str
    key: str
    removed: bool = False
    """Whether the notification says that the object is gone."""
    sequencer: str | None = None
    """32 hex digits that grow, as text, with every event of one object; None: not told."""

    @property
    def image_id(self) -> str:
        """`s3-` and 32 hex digits of SHA-256(bucket NUL key) (docs/images.md)."""
        place = f"{self.bucket}\0{self.key}".encode()
        return "s3-" + hashlib.sha256(place).hexdigest()[:32]


class Notification(NamedTuple):
    """What one message says, record by record."""

    notices: Sequence[ObjectNotice] = ()
    """In the order of the records."""
    ignored: int = 0
    """Records that tell of no change: folders, restored, tagged or moved objects, test events."""
    refused: Sequence[ContractError] = ()
    """One for each record that does not say which object it is about."""


def read_notification(value: bytes | None) -> Notification:
    """What a message says; a record that cannot be read costs only itself.

    Raises:
        ContractError: the message as a whole is no bucket notification.
    """
    if value is None:
        raise ContractError("", "the message has no value")
    try:
        records, lossy = _records(value)
    except ValidationError as error:
        if _is_test_event(value):
            return Notification(ignored=1)
        raise ContractError.of(error) from error
    notices, refused = [], []
    for number, record in enumerate(records):
        try:
            notice = _notice(record, lossy=lossy)
        except (ValidationError, ContractError) as error:
            reason = ContractError.of(error) if isinstance(error, ValidationError) else error
            place = ("Records", str(number), *filter(None, [reason.field]))
            refused.append(ContractError(".".join(place), reason.reason))
        else:
            notices.append(notice)
    told = [notice for notice in notices if notice is not None]
    return Notification(told, len(notices) - len(told), refused)


def _records(value: bytes) -> tuple[Sequence[JsonValue], bool]:
    """The records of a message, and whether some of its bytes were lost.

    Ceph may pass on whatever an object's metadata hold: bytes that are no UTF-8, and control
    characters. What stands there is not read, so it spoils nothing else.

    Raises:
        ValidationError: the message as a whole is no bucket notification.
    """
    try:
        return _Notification.model_validate_json(value).records, False
    except ValidationError:
        text = value.decode(errors="replace")
        with suppress(ValueError, RecursionError):
            return _Notification.model_validate(json.loads(text, strict=False)).records, True
        raise


def _notice(record: JsonValue, *, lossy: bool) -> ObjectNotice | None:
    """The object to look at; None: the record tells of no change to one."""
    named = _Named.model_validate(record)
    kind = named.event_name.removeprefix("s3:")
    if not kind.startswith((*_MADE, *_REMOVED)):
        return None
    about = _Changed.model_validate(record).s3
    key = about.object.key
    if lossy and _LOST in key:
        raise ContractError("s3.object.key", "it is not UTF-8")
    if not named.event_source.startswith(_UNCODED_SOURCE):
        key = _decoded(key)
    if key.endswith("/"):
        return None
    return ObjectNotice(
        bucket=about.bucket.name,
        key=key,
        removed=not kind.startswith(_MADE),
        sequencer=_sequencer(about.object.sequencer),
    )


def _decoded(key: str) -> str:
    try:
        return unquote_plus(key, errors="strict")
    except UnicodeDecodeError as error:
        raise ContractError("s3.object.key", "it is not UTF-8") from error


def _sequencer(said: Any) -> str | None:
    """Pads a sequencer with zeros on the right, so that two compare as text, which AWS asks for."""
    if not isinstance(said, str) or not 0 < len(said) <= _SEQUENCER_DIGITS:
        return None
    digits = said.upper().ljust(_SEQUENCER_DIGITS, "0")
    return digits if set(digits) <= set("0123456789ABCDEF") else None


def _is_test_event(value: bytes) -> bool:
    try:
        return _TestEvent.model_validate_json(value).event == "s3:TestEvent"
    except ValidationError:
        return False
