"""Slotted records of `searches.closed.v2` and of the side topic, written and read."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sightline.schemas.envelope import ContractError
from sightline.schemas.labels import Verdict
from sightline.schemas.registry import decode as decode_slowly
from sightline.stream_workers.labels.codecs.interactions import (
    UNREADABLE,
    Envelope,
    Hex64,
    Name,
    Place,
    Query,
    Team,
)

PERSON = Verdict.PERSON.value
"""The verdict on a search whose clicks teach."""
Count = Annotated[int, Meta(ge=0)]
JOIN_SOURCE = "urn:sightline:label-join"


class Graded(Struct, gc=False, omit_defaults=True):
    """One shown image with its grade and what was done with it."""

    image_id: Name
    position: Place
    score: float
    perceptual_hash: Hex64
    grade: Annotated[int, Meta(ge=0, le=5)]
    clicks: Count = 0
    likes: Count = 0
    shares: Count = 0
    conversions: Count = 0
    dwell_ms: Count | None = None
    in_view_ms: Count | None = None
    team: Team | None = None


class Search(Struct, gc=False, omit_defaults=True):
    """One closed search: its page, and what was done on it."""

    search_id: Annotated[str, Meta(min_length=1, max_length=512)]
    issued_at: str
    actor_id: Name
    anchor_id: Name
    anchor_perceptual_hash: Hex64
    query: Query
    model_digest: Annotated[str, Meta(max_length=128)]
    generation: Name
    variant: Name
    verdict: Literal["person", "too_many", "too_complete"]
    examined: Annotated[int, Meta(ge=0, le=100)]
    shown: Annotated[list[Graded], Meta(max_length=100)]
    user_pseudonym: Name | None = None
    actor_pairs: Count = 0


class _Closed(Struct, gc=False):
    source_partition: int
    epoch: int
    searches: list[msgspec.Raw]


class Closed(Struct, gc=False):
    """Some closed searches of one epoch: the data of `SearchesClosed`."""

    source_partition: Count
    epoch: Count
    searches: Annotated[list[Search], Meta(min_length=1, max_length=50)]


class Marker(Struct, gc=False):
    """Which epochs of a partition are complete: the data of `EpochClosed`."""

    source_partition: Count
    first_epoch: Count
    epoch: Count


class Omission(Struct, gc=False, omit_defaults=True):
    """One impression or item that does not count."""

    index: int
    event_id: str
    kind: str
    reason: str
    image_id: str | None = None


class Omitted(Struct, gc=False):
    """What was not counted of a record, and why: the data of `InteractionsOmitted`."""

    topic: str
    partition: int
    offset: int
    search_id: str
    issued_at: str
    actor_id: str
    omitted: list[Omission]


class _Written(Struct, gc=False):
    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    data: _Closed | Marker | Omitted


class ClosedRecord(Envelope, tag="sightline.searches.closed.v1"):
    """The record that carries some closed searches of one epoch."""

    data: Closed


class MarkerRecord(Envelope, tag="sightline.epoch.closed.v1"):
    """The record that says that a partition's epochs are complete."""

    data: Marker


ClosedTopicRecord = ClosedRecord | MarkerRecord
_decoder: msgspec.json.Decoder[ClosedTopicRecord] = msgspec.json.Decoder(ClosedTopicRecord)
_encoder = msgspec.json.Encoder()


def encode_search(search: Search) -> bytes:
    """One search as JSON, to be put into a record with others."""
    return _encoder.encode(search)


def encode_searches(
    searches: list[msgspec.Raw], *, event_id: str, source_partition: int, epoch: int, time: str
) -> bytes:
    """Encodes one `SearchesClosed` event from searches that are encoded already."""
    data = _Closed(source_partition, epoch, searches)
    kind = "sightline.searches.closed.v1"
    return _written(event_id, kind, f"{source_partition}/{epoch}", time, data)


def encode_marker(
    *, event_id: str, source_partition: int, first_epoch: int, epoch: int, time: str
) -> bytes:
    """Encodes one `EpochClosed` event, which marks epochs as complete."""
    data = Marker(source_partition, first_epoch, epoch)
    kind = "sightline.epoch.closed.v1"
    return _written(event_id, kind, f"{source_partition}/{epoch}", time, data)


def encode_omitted(omitted: Omitted, *, time: str) -> bytes:
    """One `InteractionsOmitted`; its id names the record, so a repeat has the same."""
    event_id = f"{omitted.topic}-{omitted.partition}-{omitted.offset}"
    kind = "sightline.interactions.omitted.v1"
    return _written(event_id, kind, omitted.search_id, time, omitted)


def _written(
    event_id: str, kind: str, subject: str, time: str, data: _Closed | Marker | Omitted
) -> bytes:
    return _encoder.encode(
        _Written("1.0", event_id, JOIN_SOURCE, kind, subject, time, "application/json", data)
    )


def decode_searches(value: bytes | None) -> ClosedTopicRecord:
    """The record of a message of a closed-searches topic, which only the join writes.

    Raises:
        ContractError: the message breaks its contract.
    """
    try:
        return _decoder.decode(value or b"")
    except UNREADABLE:
        usual = decode_slowly(value).encode()
    try:
        return _decoder.decode(usual)
    except msgspec.MsgspecError as error:
        raise ContractError("type", "not an event of the closed searches") from error
