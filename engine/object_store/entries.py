"""Entries of a catalogue: one newest event each, as JSON in our bucket and back.

Every writer bounds what strangers send (`schemas/fields.py`), but an entry outlives its writer's
release, and a disk may damage it: what cannot be read is `Unreadable`, never a reason to stop.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sightline.engine.errors import Unreadable
from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError, Event, EventData
from sightline.schemas.fields import Contract
from sightline.schemas.registry import decode

D = TypeVar("D", bound=EventData)


class Origin(StrEnum):
    """Who brought an image into being, where its id is one that is derived (docs/images.md)."""

    BRIDGE = "bridge"
    """The bucket bridge, from a notification."""
    ADMIN = "admin"
    """An operator: an `admin` key, or the command line."""


class Place(Contract):
    """Where in the log an event lies."""

    topic: str
    partition: int
    offset: int
    appended: datetime

    @classmethod
    def of(cls, message: Message) -> Place:
        """Return where a message lies that was read or acknowledged."""
        return cls(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            appended=message.timestamp,
        )


@dataclass(frozen=True, kw_only=True)
class Entry(Generic[D]):
    """What a catalogue says of one image."""

    event: Event[D]
    """The newest event, as it was or will be published."""
    published: Place | None = None
    """None: written, but no acknowledgement of its publication has been noted."""
    seen: str | None = None
    """What the bridge last saw of the object in a watched bucket; none for other images."""
    origin: Origin | None = None
    """Who brought the image into being; None: an owner, or it was not noted yet then."""
    etag: str | None = None
    """The ETag of the stored object; None: not stored yet."""

    @property
    def state(self) -> D:
        """The state that the newest event gives the image."""
        return self.event.data


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore")

    event: dict[str, Any]
    published: Place | None = None
    seen: str | None = None
    origin: Origin | None = None


def encode_entry(entry: Entry[D]) -> bytes:
    """Writes an entry as JSON, to be stored in the bucket."""
    return (
        _Stored(
            event=entry.event.model_dump(mode="json", exclude_none=True),
            published=entry.published,
            seen=entry.seen,
            origin=entry.origin,
        )
        .model_dump_json(exclude_none=True)
        .encode()
    )


def names_owner(data: bytes, owner_id: str) -> bool:
    """Whether a stored entry may be of that owner's image; if not, it is of another's or nobody's.

    A look at the bytes, whose cost hardly grows with the entry: an owner's id needs no escaping.
    """
    return f'"owner_id":"{owner_id}"'.encode() in data


def decode_entry(data: bytes, kind: type[D], *, key: str, etag: str | None) -> Entry[D]:
    """The entry that was stored; its attributes are left out where they alone are over the bound.

    Raises:
        Unreadable: it is damaged, or of another kind.
    """
    try:
        try:
            return _decoded(data, kind, etag)
        except (ValidationError, ContractError):
            return _decoded(_without_attributes(data), kind, etag)
    except (ValidationError, ContractError, ValueError, RecursionError) as error:
        raise Unreadable(f"{key} is damaged: {str(error)[:200]}") from error


def _decoded(data: bytes, kind: type[D], etag: str | None) -> Entry[D]:
    stored = _Stored.model_validate_json(data)
    event = decode(json.dumps(stored.event).encode())
    if not isinstance(event.data, kind):
        raise ContractError("type", f"{event.type} does not belong here")
    return Entry(
        event=event,
        published=stored.published,
        seen=stored.seen,
        origin=stored.origin,
        etag=etag,
    )


def _without_attributes(data: bytes) -> bytes:
    """Written before attributes had a bound on their depth: the image matters more than they do."""
    document = json.loads(data)
    if isinstance(document, dict) and isinstance(document.get("event"), dict):
        said = document["event"].get("data")
        if isinstance(said, dict):
            said.pop("attributes", None)
    return json.dumps(document).encode()


@dataclass(frozen=True, kw_only=True)
class Looked(Generic[D]):
    """What a look at one image's entry found."""

    entry: Entry[D] | None = None
    """None: nothing is stored, or it cannot be read."""
    etag: str | None = None
    """The ETag of what is stored, readable or not; None: nothing is."""

    @property
    def unreadable(self) -> bool:
        """Whether something is stored that cannot be read."""
        return self.entry is None and self.etag is not None
