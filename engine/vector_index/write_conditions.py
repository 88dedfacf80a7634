"""Under which conditions a write goes through: the fences of images and decisions, as filters.

A point whose own fence cannot be read is below whatever is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sightline.engine.records import Fence, IndexedDecision, IndexedImage
from sightline.engine.vector_index.conditions import (
    Condition,
    Fixed,
    HasNumber,
    LacksField,
    Where,
    all_of,
    has_keyword,
    none_of,
    one_of,
    points_of,
)
from sightline.engine.vector_index.payload import (
    DECISION_TIE,
    DECISION_VERSION,
    EMPTY_IMAGE,
    HELD,
    HIDDEN,
    LISTED,
    SEARCHABLE,
    SHOWN,
    TOMBSTONE_TYPE,
    UNFENCED,
    decision_payload,
    decision_place,
    point_id,
    winner_payload,
)
from sightline.engine.vector_index.read_conditions import IS_DECIDED
from sightline.schemas.fields import MAX_VERSION


class PayloadChange(NamedTuple):
    """Fields that are written into those of the points that match."""

    points: tuple[str, ...]
    where: Where
    payload: dict[str, Any]


def _without_fence(*fields: str) -> Fixed:
    """Matches points that have no number that can be one in one of the fields."""
    numbers = all_of(*(HasNumber(field, at_least=0, at_most=MAX_VERSION) for field in fields))
    return Fixed(none_of(numbers))


NEVER = all_of(HasNumber("version", below=-1))
"""Matches no point: a write under it only inserts."""
_UNDECIDED = Fixed(all_of(*(LacksField(field) for field in HELD)))
"""Matches points that hold no decision, not even one that cannot be read."""
_LOST_IMAGE = _without_fence(*Fence._fields)
"""Matches points whose image has no fence that can be read."""
_LOST_DECISION = _without_fence(DECISION_VERSION, DECISION_TIE)
"""Matches points whose decision has no fence that can be read."""


def any_below(images: Sequence[IndexedImage]) -> Where:
    """Matches the points of the images while their stored fences are below the images'.

    A write replaces a point whole, the decision too: so only where the stored decision is the one
    that the image brings.
    """
    undecided = points_of(image.image_id for image in images if image.decision is None)
    lost = all_of(undecided, _LOST_IMAGE, _UNDECIDED)
    return one_of(*(_is_below(image) for image in images), lost)


def _is_below(image: IndexedImage) -> Where:
    lost = [] if image.decision is None else [_LOST_IMAGE]
    older = one_of(*_lower(*image.fence._asdict().items()), *lost)
    return all_of(points_of([image.image_id]), older, _holds(image.decision))


def _holds(decision: IndexedDecision | None) -> Condition:
    """Matches points that hold this decision, or none; one that cannot be read lies just above."""
    if decision is None:
        return _UNDECIDED
    if decision.fence == UNFENCED:
        return Where(must=(_LOST_DECISION,), must_not=(_UNDECIDED,))
    same, (field, tie) = _decision_numbers(decision)
    unread = int(decision.unreadable)
    return all_of(_equal(*same), HasNumber(field, at_least=tie, at_most=tie + unread))


def relocation(image: IndexedImage) -> PayloadChange:
    """Where the winning event lies now, iff the stored fence is the image's."""
    equal = all_of(*(_equal(*number) for number in image.fence._asdict().items()))
    return PayloadChange((point_id(image.image_id),), equal, {"winner": winner_payload(image)})


def decision_relocation(decision: IndexedDecision) -> PayloadChange:
    """Where the winning decision lies now, iff it is the stored one."""
    place = {"decision_place": decision_place(decision)}
    return PayloadChange((point_id(decision.image_id),), all_of(_holds(decision)), place)


def decision_changes(decision: IndexedDecision) -> list[PayloadChange]:
    """What a decision writes into its image's point, iff it is above the stored one, in this order.

    Or the stored one itself, once more, where that cannot be read.

    An image that is allowed and listed stays shown throughout. Were it listed between the first two
    of the changes, the third would show it.
    """
    half, here = decision_payload(decision), (point_id(decision.image_id),)
    numbers = _decision_numbers(decision)
    itself = Where(must=tuple(_equal(*number) for number in numbers), must_not=(IS_DECIDED,))
    older = one_of(_LOST_DECISION, *_lower(*numbers), itself)
    hide = PayloadChange(here, older, half | {SEARCHABLE: HIDDEN})
    if decision.blocks:
        return [hide]
    by_owner = has_keyword("listing", LISTED)
    return [
        PayloadChange(here, all_of(older, by_owner), half | {SEARCHABLE: SHOWN}),
        hide,
        PayloadChange(here, all_of(_holds(decision), by_owner), {SEARCHABLE: SHOWN}),
    ]


_IS_TOMBSTONE = has_keyword("type", TOMBSTONE_TYPE)
IS_UNDECIDED_TOMBSTONE = all_of(_IS_TOMBSTONE, _UNDECIDED)
"""Matches tombstones without a decision: nothing is left of their points."""


def emptied_tombstones(points: Sequence[str]) -> PayloadChange:
    """Empties the image half of those of the points that are tombstones and hold a decision."""
    decided = Where(must=(_IS_TOMBSTONE,), must_not=(_UNDECIDED,))
    return PayloadChange(tuple(points), decided, EMPTY_IMAGE)


def _decision_numbers(decision: IndexedDecision) -> list[tuple[str, int]]:
    return [(DECISION_VERSION, decision.fence.version), (DECISION_TIE, decision.fence.tie)]


def _lower(*numbers: tuple[str, int]) -> list[Where]:
    """What together says that a point's numbers come before these, the first deciding first."""
    return [
        all_of(*(_equal(*equal) for equal in numbers[:at]), HasNumber(name, below=value))
        for at, (name, value) in enumerate(numbers)
    ]


def _equal(field: str, value: int) -> HasNumber:
    return HasNumber(field, at_least=value, at_most=value)
