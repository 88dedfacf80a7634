"""Canonical examples of the image events, their outcomes and a search."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sightline.schemas.envelope import EventData
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import (
    Authority,
    ImageChanged,
    ImageDeleted,
    ImageUploaded,
    ObjectReference,
)
from sightline.schemas.indexed import ImageIndexed, ImageRejected, Lane, Outcome, StageTimes
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.searches import CropBox, ResultsShown, ShownImage, UploadQuery

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
HASH = "0f1e2d3c4b5a69780f1e2d3c4b5a69780f1e2d3c4b5a69780f1e2d3c4b5a6978"
IMAGE = "lamp-4711"
MODEL = "efficientnet_lite0-512-bf16-openvino"
GENERATION = "g1"

_OBJECT = ObjectReference(
    bucket="sightline",
    key=f"images/{IMAGE}/{_SHA256}",
    size_bytes=48_213,
    content_type="image/jpeg",
    sha256=_SHA256,
)


def _after(milliseconds: int) -> datetime:
    return NOON + timedelta(milliseconds=milliseconds)


_UPLOADED = ImageUploaded(
    image_id=IMAGE,
    version=1,
    authority=Authority.OWNER,
    object=_OBJECT,
    visibility=Visibility.PUBLIC,
    tags=("lamp", "brass"),
    owner_id="shop-12",
    group_id="listing-99",
    attributes={"price": 49.9, "currency": "EUR"},
)
_CHANGED = ImageChanged(
    image_id=IMAGE,
    version=2,
    object=_OBJECT,
    visibility=Visibility.PRIVATE,
    tags=("lamp", "brass", "sold"),
    owner_id="shop-12",
    group_id="listing-99",
    attributes={"price": 49.9, "currency": "EUR"},
)
_DELETED = ImageDeleted(image_id=IMAGE, version=3, owner_id="shop-12")
_INDEXED = ImageIndexed(
    image_id=IMAGE,
    version=1,
    event_id="example-uploaded",
    lane=Lane.LIVE,
    times=StageTimes(
        occurred=NOON,
        appended=_after(3),
        consumed=_after(5),
        fetched=_after(8),
        embedded=_after(14),
        searchable=_after(16),
    ),
    generation=GENERATION,
    model_digest=MODEL,
    outcome=Outcome.INDEXED,
    embedded=True,
)
_REJECTED = ImageRejected(
    image_id="broken-1",
    version=1,
    event_id="example-uploaded-broken",
    lane=Lane.BACKFILL,
    times=StageTimes(occurred=NOON, appended=_after(3), consumed=_after(5), searchable=_after(12)),
    generation=GENERATION,
    model_digest=MODEL,
    reason="truncated",
    message="The file ends before the picture does: upload it again.",
)
_SHOWN = ResultsShown(
    search_id="example-search",
    issued_at=NOON,
    actor_id="user-5d41402abc4b2a76",
    session_id="session-1",
    user_pseudonym="user-5d41402abc4b2a76",
    anchor_id="q-9f86d081884c7d659a2feaa0c55ad015",
    query=UploadQuery(
        sha256=_SHA256,
        object=_OBJECT.model_copy(update={"key": f"queries/{_SHA256}"}),
        crop=CropBox(x=0.1, y=0.2, w=0.5, h=0.5),
    ),
    anchor_perceptual_hash=HASH,
    shown=(
        ShownImage(image_id=IMAGE, position=1, score=0.93, perceptual_hash=HASH),
        ShownImage(image_id="lamp-4712", position=2, score=0.87, perceptual_hash=HASH[::-1]),
    ),
    model_digest=MODEL,
    generation=GENERATION,
)

_MODERATED = ImageModerated(
    image_id=IMAGE,
    version=1,
    moderation=Moderation.BLOCKED,
    decided_by="admin",
    reason="Reported as counterfeit.",
)

IMAGE_EXAMPLES: tuple[EventData, ...] = (
    _UPLOADED,
    _CHANGED,
    _DELETED,
    _MODERATED,
    _INDEXED,
    _REJECTED,
    _SHOWN,
)
