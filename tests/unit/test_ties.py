"""Two events of one version end the same everywhere, and what hides more wins."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given

from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import (
    ImageChanged,
    ImageDeleted,
    ImageState,
    ObjectReference,
    hiding_rank,
    tie,
)
from tests.matching import matching

BYTES = ObjectReference(bucket="bucket", key="k", size_bytes=1)
PUBLIC = ImageChanged(image_id="a", version=1, object=BYTES, visibility=Visibility.PUBLIC)
PRIVATE = PUBLIC.model_copy(update={"visibility": Visibility.PRIVATE})
BLOCKED = PUBLIC.model_copy(update={"moderation": Moderation.BLOCKED})
DELETED = ImageDeleted(image_id="a", version=1)
BY_RANK: tuple[ImageState, ...] = (PUBLIC, PRIVATE, BLOCKED, DELETED)

event_ids = matching("[A-Za-z0-9._~-]{1,128}")


def test_ranks_are_those_of_the_rules() -> None:
    """Deleted 3, blocked 2, private 1, public 0."""
    assert [hiding_rank(state) for state in BY_RANK] == [0, 1, 2, 3]
    both = BLOCKED.model_copy(update={"visibility": Visibility.PRIVATE})
    assert hiding_rank(both) == 2


@given(one=event_ids, other=event_ids)
def test_what_hides_more_wins_whatever_the_ids(one: str, other: str) -> None:
    """No event id lifts a state over one that hides more."""
    for lower, higher in pairwise(BY_RANK):
        assert tie(lower, one) < tie(higher, other)


@given(event_ids)
def test_a_tie_is_exact_as_a_float(event_id: str) -> None:
    """Vector stores compare as float64: every tie survives the round trip."""
    for state in BY_RANK:
        value = tie(state, event_id)
        assert 0 <= value < 2**34
        assert int(float(value)) == value


def test_a_tie_is_the_same_everywhere() -> None:
    """The number itself is part of the contract: rank, then 32 bits of SHA-256."""
    assert tie(PUBLIC, "a") == 0xCA978112
    assert tie(DELETED, "a") == 3 * 2**32 + 0xCA978112
