"""The payload of a point in, the operator's decision in it out; damaged, it hides what it hid."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sightline.engine.errors import Unreadable
from sightline.engine.records import UNREADABLE, DecisionFence, IndexedDecision, WinnerLocation
from sightline.engine.vector_index.payload import DECISION_TIE, DECISION_VERSION, HELD, UNFENCED
from sightline.schemas.envelope import Event
from sightline.schemas.fields import MAX_VERSION, Moderation
from sightline.schemas.moderation import ImageModerated

_log = logging.getLogger(__name__)

_DECISION = Event[ImageModerated]
_HELD = frozenset(HELD)
NOWHERE = WinnerLocation("", -1, -1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OverflowError)
"""What a field of another type or of an impossible value ends in."""


def decision_of(payload: Mapping[str, Any], image_id: str) -> IndexedDecision | None:
    """The decision in an image's point, if there is one.

    Of one that cannot be read the plain fields still hold: it hides what it hid. Where they cannot
    be read, either, it hides the image until a newer decision, or itself once more, arrives.
    """
    if not is_decided(payload):
        return None
    plain = _plain_decision(payload, image_id)
    try:
        said = stored_decision(payload)
    except Unreadable as error:
        _log.error("what was decided on image %s cannot be read: %s", image_id, error)
        return plain
    if said.fence != plain.fence:
        return plain
    return said if said.blocks == plain.blocks else _blocked_until(said.fence, image_id)


def is_decided(payload: Mapping[str, Any]) -> bool:
    """Whether a point holds a decision, readable or not; the stores' filters ask the same."""
    if _HELD.isdisjoint(payload):
        return False  # as most: every result of a search is read through here
    return any(payload.get(name) not in (None, []) for name in HELD)


def _plain_decision(payload: Mapping[str, Any], image_id: str) -> IndexedDecision:
    """What the fields say that filters read."""
    fence = DecisionFence(
        whole_number(payload, DECISION_VERSION), whole_number(payload, DECISION_TIE)
    )
    if min(fence) < 0 or fence.version > MAX_VERSION:
        return _said(image_id, Moderation.BLOCKED, UNFENCED)
    try:
        return _said(image_id, Moderation(payload["moderated"]), fence)
    except DAMAGED:
        return _blocked_until(fence, image_id)


def whole_number(payload: Mapping[str, Any], name: str) -> int:
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
        occurred=LONG_AGO,
        appended=LONG_AGO,
        winner=NOWHERE,
    )


def stored_decision(payload: Mapping[str, Any]) -> IndexedDecision:
    """The decision in a point that has one. Raises `Unreadable`: it is damaged."""
    try:
        event = _DECISION.model_validate_json(payload["decision"], strict=True)
        place = payload["decision_place"]
        return IndexedDecision.of(
            event,
            appended=datetime.fromisoformat(place["appended"]),
            winner=WinnerLocation(place["topic"], int(place["partition"]), int(place["offset"])),
        )
    except DAMAGED as error:
        raise Unreadable(f"a decision in the index is damaged: {str(error)[:200]}") from error
