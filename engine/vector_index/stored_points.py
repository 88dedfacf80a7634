"""Points as a store returns them in, images and decisions out: the reading side of `payload.py`.

What cannot be read costs itself only: a search and a scan pass over it, and a look at it by its id
finds that it is there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from pydantic import ValidationError

from sightline.engine.errors import Unreadable
from sightline.engine.records import (
    UNREADABLE,
    DecisionFence,
    Fence,
    GenerationSpec,
    ImageStage,
    IndexedDecision,
    IndexedImage,
    Sight,
    WinnerLocation,
)
from sightline.engine.vector_index.payload import (
    DECISION_TIE,
    DECISION_VERSION,
    FEATURES,
    HELD,
    NO_FENCE,
    NO_IMAGE_TYPE,
    PLAIN,
    UNFENCED,
    VECTOR,
    point_id,
)
from sightline.schemas.envelope import Event
from sightline.schemas.fields import MAX_VERSION, Moderation
from sightline.schemas.images import (
    Authority,
    ImageChanged,
    ImageDeleted,
    ImageState,
    ImageUploaded,
)
from sightline.schemas.indexed import Outcome
from sightline.schemas.moderation import ImageModerated

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STATES: dict[str, type[ImageState]] = {
    state.TYPE: state for state in (ImageUploaded, ImageChanged, ImageDeleted)
}
_DECISION = Event[ImageModerated]
_NOWHERE = WinnerLocation("", -1, -1)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""What a field of another type or of an impossible value ends in."""

_log = logging.getLogger(__name__)


class Record(Protocol):
    """A point as the clients of both stores tell it."""

    @property
    def payload(self) -> Mapping[str, Any] | None:
        """Its fields; None: none were asked for."""

    @property
    def vector(self) -> Any:
        """Its numbers, one a dimension, or such by name; empty or None: none were asked for."""


class StoredPoint(NamedTuple):
    """What a store returns for one point."""

    payload: Mapping[str, Any]
    vector: NDArray[np.float32] | None = None
    features: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, record: Record) -> StoredPoint:
        """What a client tells of a point; what it does not tell is absent, empty or None."""
        told = record.vector or {}
        named = told if isinstance(told, Mapping) else {VECTOR: told}
        vector, features = (
            np.asarray(numbers, dtype=np.float32) if (numbers := named.get(name)) else None
            for name in (VECTOR, FEATURES)
        )
        as_bytes = None if features is None else features.astype(np.uint8)
        return cls(record.payload or {}, vector, as_bytes)


def vectors_to_read(spec: GenerationSpec, *, vectors: bool, features: bool) -> list[str] | bool:
    """What to ask a store for of each point: the names of vectors, or False for none.

    A generation that keeps no features does not know their name.
    """
    asked = [(VECTOR, vectors), (FEATURES, features and spec.features is not None)]
    return [name for name, wanted in asked if wanted] or False


def images_of(points: Iterable[StoredPoint]) -> Iterator[IndexedImage]:
    """The images of points; one that cannot be read is logged and passed over."""
    for point in points:
        if point.payload.get("type") == NO_IMAGE_TYPE:
            continue
        try:
            yield from_payload(point.payload, point.vector, point.features)
        except Unreadable as error:
            _log.error("an unreadable point of the index is left out: %s", error)


def shown_images(points: Iterable[StoredPoint]) -> Iterator[IndexedImage]:
    """The images of points that a search found, less what a decision hides all the same.

    `searchable` may be of a release that did not know of it, or damaged.
    """
    return (image for image in images_of(points) if not image.blocked)


def known_images(
    points: Iterable[tuple[str, StoredPoint]], image_ids: Iterable[str]
) -> dict[str, IndexedImage]:
    """The images among points, given by point id, that were asked for by image id.

    One that cannot be read is there all the same, as `unreadable`: its fence still decides.
    """
    names = {point_id(image_id): image_id for image_id in image_ids}
    found = {}
    for name, (payload, vector, features) in points:
        image_id = names[name]
        if payload.get("type") == NO_IMAGE_TYPE:
            continue
        try:
            found[image_id] = from_payload(payload, vector, features)
        except Unreadable as error:
            _log.error("what the index holds of image %s cannot be read: %s", image_id, error)
            found[image_id] = _unreadable(image_id, payload)
    return found


def seen_images(
    points: Iterable[tuple[str, StoredPoint]],
    image_ids: Iterable[str],
    sight: Sight,
    *,
    vectors: bool,
) -> dict[str, IndexedImage]:
    """Those of the known images that a read may find; `points` with vectors, `vectors` or not."""
    known = known_images(points, image_ids)
    found = {name: image for name, image in known.items() if sight.shows(image)}
    return found if vectors else {i: replace(m, vector=None) for i, m in found.items()}


def decisions_of(points: Iterable[StoredPoint]) -> Iterator[IndexedDecision]:
    """The decisions of points; one that cannot be read is logged and passed over."""
    for payload, *_ in points:
        if not is_decided(payload):
            continue
        try:
            yield _decision(payload)
        except Unreadable as error:
            _log.error("an unreadable point of the index is left out: %s", error)


def decisions_by_image(payloads: Iterable[Mapping[str, Any]]) -> dict[str, IndexedDecision]:
    """The decisions of payloads, by the image that each is about."""
    return {d.image_id: d for d in decisions_of(StoredPoint(payload) for payload in payloads)}


def fence_of(payload: Mapping[str, Any]) -> Fence:
    """Reads the fence of a point's image half; below every image's where there is none to read."""
    fence = Fence(*(_number(payload, name) for name in Fence._fields))
    return fence if min(fence) >= 0 and fence.version <= MAX_VERSION else NO_FENCE


def from_payload(
    payload: Mapping[str, Any],
    vector: NDArray[np.float32] | None = None,
    features: NDArray[np.uint8] | None = None,
) -> IndexedImage:
    """The image that `to_payload` was given; vector and features only where they are handed in.

    Attributes are left out where they alone are out of bounds.

    Raises:
        Unreadable: it is damaged.
    """
    try:
        try:
            return _from_payload(payload, vector, features)
        except ValidationError:
            state = json.loads(payload["state"])
            state.pop("attributes", None)
            return _from_payload({**payload, "state": json.dumps(state)}, vector, features)
    except (*_DAMAGED, RecursionError) as error:
        raise Unreadable(f"a point of the index is damaged: {str(error)[:200]}") from error


def decision_of(payload: Mapping[str, Any], image_id: str) -> IndexedDecision | None:
    """The decision in an image's point, if there is one.

    Of one that cannot be read the plain fields still hold: it hides what it hid. Where they cannot
    be read, either, it hides the image until a newer decision, or itself once more, arrives.
    """
    if not is_decided(payload):
        return None
    plain = _plain_decision(payload, image_id)
    try:
        said = _decision(payload)
    except Unreadable as error:
        _log.error("what was decided on image %s cannot be read: %s", image_id, error)
        return plain
    if said.fence != plain.fence:
        return plain
    return said if said.blocks == plain.blocks else _blocked_until(said.fence, image_id)


def is_decided(payload: Mapping[str, Any]) -> bool:
    """Whether a point holds a decision, readable or not; the stores' filters ask the same."""
    return any(payload.get(name) not in (None, []) for name in HELD)


def _plain_decision(payload: Mapping[str, Any], image_id: str) -> IndexedDecision:
    """What the fields say that filters read."""
    fence = DecisionFence(_number(payload, DECISION_VERSION), _number(payload, DECISION_TIE))
    if min(fence) < 0 or fence.version > MAX_VERSION:
        return _said(image_id, Moderation.BLOCKED, UNFENCED)
    try:
        return _said(image_id, Moderation(payload["moderated"]), fence)
    except _DAMAGED:
        return _blocked_until(fence, image_id)


def _number(payload: Mapping[str, Any], name: str) -> int:
    """The whole number that filters find in a field; -1: none."""
    said = payload.get(name)
    return said if isinstance(said, int) and not isinstance(said, bool) else -1


def _blocked_until(fence: DecisionFence, image_id: str) -> IndexedDecision:
    """A block just below the fence: the very decision that cannot be read here is above it."""
    return _said(image_id, Moderation.BLOCKED, fence._replace(tie=fence.tie - 1))


def _said(image_id: str, moderation: Moderation, fence: DecisionFence) -> IndexedDecision:
    """A decision of which nothing but this is known."""
    return IndexedDecision(
        decision=ImageModerated(
            image_id=image_id,
            version=fence.version,
            moderation=moderation,
            decided_by=UNREADABLE,
        ),
        tie=fence.tie,
        event_id=UNREADABLE,
        event_source=UNREADABLE,
        occurred=_LONG_AGO,
        appended=_LONG_AGO,
        winner=_NOWHERE,
    )


def _decision(payload: Mapping[str, Any]) -> IndexedDecision:
    try:
        event = _DECISION.model_validate_json(payload["decision"], strict=True)
        place = payload["decision_place"]
        return IndexedDecision.of(
            event,
            appended=datetime.fromisoformat(place["appended"]),
            winner=WinnerLocation(place["topic"], int(place["partition"]), int(place["offset"])),
        )
    except _DAMAGED as error:
        raise Unreadable(f"a decision in the index is damaged: {str(error)[:200]}") from error


def _unreadable(image_id: str, payload: Mapping[str, Any]) -> IndexedImage:
    """What is still known of it: nobody sees it, and what comes next must be above its fence."""
    fence = fence_of(payload)
    return IndexedImage(
        state=ImageDeleted(
            image_id=image_id, version=max(fence.version, 0), authority=Authority.SIGHTLINE
        ),
        event_id=UNREADABLE,
        event_source=UNREADABLE,
        tie=fence.tie,
        stage=ImageStage(min(max(fence.stage, min(ImageStage)), max(ImageStage))),
        outcome=Outcome.REJECTED,
        occurred=_LONG_AGO,
        appended=_LONG_AGO,
        applied=_LONG_AGO,
        winner=_NOWHERE,
        reason=UNREADABLE,
        message="What the index holds of this image cannot be read: upload it again, or delete it.",
        unreadable=True,
        decision=decision_of(payload, image_id),
    )


def _instant(milliseconds: Any) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1_000, UTC)


def _from_payload(
    payload: Mapping[str, Any],
    vector: NDArray[np.float32] | None,
    features: NDArray[np.uint8] | None,
) -> IndexedImage:
    entry = json.loads(payload["entry"])
    winner = payload["winner"]
    state = _STATES[payload["type"]].model_validate_json(payload["state"])
    return IndexedImage(
        state=state,
        event_id=entry["event_id"],
        event_source=entry["event_source"],
        tie=int(payload["tie"]),
        stage=ImageStage(int(payload["stage"])),
        outcome=Outcome(entry["outcome"]),
        occurred=datetime.fromisoformat(entry["occurred"]),
        appended=datetime.fromisoformat(entry["appended"]),
        applied=datetime.fromisoformat(entry["applied"]),
        winner=WinnerLocation(winner["topic"], int(winner["partition"]), int(winner["offset"])),
        cluster=payload.get("cluster"),
        since=_instant(payload.get("since")),
        decision=decision_of(payload, state.image_id),
        vector=vector,
        features=features,
        **{name: entry[name] for name in PLAIN},
    )
