"""Indexed images for tests: each a pure function of a few small numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from sightline.engine.records import (
    GenerationSpec,
    ImageStage,
    IndexedDecision,
    IndexedImage,
    SearchRequest,
    TagFilter,
    WinnerLocation,
)
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import (
    ImageChanged,
    ImageDeleted,
    ImageState,
    ImageUploaded,
    ObjectReference,
    tie,
)
from sightline.schemas.indexed import Outcome
from sightline.schemas.moderation import ImageModerated

DIMENSIONS = 16
SPEC = GenerationSpec(
    name="first", model_digest="model-1", preprocess_digest="prep-1", dimensions=DIMENSIONS
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Kind(StrEnum):
    """What an event says."""

    PUBLIC = "public"
    CHANGED = "changed"
    PRIVATE = "private"
    BLOCKED = "blocked"
    REJECTED = "rejected"
    DELETED = "deleted"


_OUTCOMES = {
    Kind.PUBLIC: Outcome.INDEXED,
    Kind.CHANGED: Outcome.INDEXED,
    Kind.PRIVATE: Outcome.HIDDEN,
    Kind.BLOCKED: Outcome.HIDDEN,
    Kind.REJECTED: Outcome.REJECTED,
    Kind.DELETED: Outcome.DELETED,
}


def unit_vector(seed: int, dimensions: int = DIMENSIONS) -> NDArray[np.float32]:
    """A unit vector that depends on the seed alone."""
    drawn = np.random.default_rng(seed).normal(size=dimensions).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32)


def image(  # every argument has a default: a test names only what it is about
    image_id: str = "img",
    version: int = 1,
    kind: Kind = Kind.PUBLIC,
    *,
    event_id: str | None = None,
    stage: ImageStage = ImageStage.FINAL,
    tags: tuple[str, ...] = (),
    owner_id: str | None = None,
    vector: NDArray[np.float32] | None = None,
    features: NDArray[np.uint8] | None = None,
    winner: WinnerLocation | None = None,
) -> IndexedImage:
    """An image as the worker would hand it to the index."""
    state = _state(image_id, version, kind, tags=tags, owner_id=owner_id)
    event = event_id or f"{image_id}-{version}-{kind}"
    bare = kind in {Kind.DELETED, Kind.REJECTED}
    made = unit_vector(crc32(f"{image_id} {version}".encode())) if vector is None else vector
    built = IndexedImage(
        state=state,
        event_id=event,
        event_source="tests",
        tie=tie(state, event),
        stage=stage,
        outcome=_OUTCOMES[kind],
        occurred=NOON,
        appended=NOON,
        applied=NOON,
        winner=winner or WinnerLocation("images.v1", 0, version),
        reason="corrupt" if kind is Kind.REJECTED else None,
        message="The file is damaged." if kind is Kind.REJECTED else None,
        content_sha256=None if bare else "a" * 64,
        perceptual_hash=None if bare else "b" * 64,
        width=None if bare else 640,
        height=None if bare else 480,
        vector=None if bare else made,
        features=None if bare else features,
    )
    if stage is ImageStage.PROVISIONAL and built.outcome is Outcome.INDEXED:
        return replace(built, outcome=Outcome.HIDDEN)
    return built


def _state(
    image_id: str, version: int, kind: Kind, *, tags: tuple[str, ...], owner_id: str | None
) -> ImageState:
    if kind is Kind.DELETED:
        return ImageDeleted(image_id=image_id, version=version, owner_id=owner_id)
    made = ImageChanged if kind is Kind.CHANGED else ImageUploaded
    return made(
        image_id=image_id,
        version=version,
        object=ObjectReference(bucket="images", key=f"images/{image_id}", size_bytes=3),
        visibility=Visibility.PRIVATE if kind is Kind.PRIVATE else Visibility.PUBLIC,
        moderation=Moderation.BLOCKED if kind is Kind.BLOCKED else Moderation.ALLOWED,
        tags=tags,
        owner_id=owner_id,
        attributes={"big": 2**70, "one": 1, "float": 1.0, "text": "été ☀"},
    )


def query(
    vector: NDArray[np.float32] | None = None,
    *,
    limit: int = 24,
    tags: TagFilter | None = None,
    exclude_ids: tuple[str, ...] = (),
    exact: bool = False,
) -> SearchRequest:
    """A search request."""
    return SearchRequest(
        vector=unit_vector(0) if vector is None else vector,
        limit=limit,
        tags=tags or TagFilter(),
        exclude_ids=exclude_ids,
        exact=exact,
    )


def same_image(one: IndexedImage, other: IndexedImage) -> bool:
    """Whether all fields are equal, vectors within float32 rounding."""
    fields, others = (replace(each, vector=None, features=None) for each in (one, other))
    return (
        fields == others
        and _close(one.vector, other.vector, within=1e-6)
        and _close(one.features, other.features, within=0)
    )


def _close(
    one: NDArray[np.generic] | None, other: NDArray[np.generic] | None, *, within: float
) -> bool:
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and bool(np.allclose(one, other, rtol=0, atol=within))


def decision(
    image_id: str = "img", version: int = 1, moderation: Moderation = Moderation.BLOCKED
) -> IndexedDecision:
    """A decision of the operator as the index would be handed it."""
    said = ImageModerated(
        image_id=image_id, version=version, moderation=moderation, decided_by="admin", reason="why"
    )
    event = Event[ImageModerated].of(
        said, event_id=f"{image_id}-{version}-{moderation}", source="tests", time=NOON
    )
    place = WinnerLocation("images.moderation.v1", 0, version)
    return IndexedDecision.of(event, appended=NOON, winner=place)
