"""What can be said of an image, and the states that are made of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sightline.producers.images.originals import original_of
from sightline.producers.images.states import ImageFacts, changed, deleted, uploaded, with_bytes
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import Authority, ImageState
from sightline.search_api.http.request_fields import ImageFields, ImagePatch

FACTS: ImageFacts = {
    "visibility": "public",
    "tags": ["a"],
    "owner_id": "me",
    "attributes": {"n": 1},
}
FIRST = original_of(b"first", bucket="things", image_id="cat", content_type="image/png")


def test_what_is_not_said_is_private_and_allowed() -> None:
    """An upload that says nothing gets the contract's defaults."""
    state = uploaded("cat", FIRST.reference, {}, version=1)
    assert (state.visibility, state.moderation) == (Visibility.PRIVATE, Moderation.ALLOWED)
    assert state.authority is Authority.OWNER


def test_a_change_keeps_what_it_does_not_name() -> None:
    """Tags change; visibility, owner, attributes and bytes stay."""
    state = uploaded("cat", FIRST.reference, FACTS, version=1, authority=Authority.SIGHTLINE)
    after = changed(state, {"tags": ("b",)}, version=2)
    differs = {
        name for name in ImageState.model_fields if getattr(after, name) != getattr(state, name)
    }
    assert differs == {"tags", "version"}


def test_new_bytes_keep_what_is_said() -> None:
    """Only the reference and the version are new."""
    state = uploaded("cat", FIRST.reference, FACTS, version=1)
    second = original_of(b"second", bucket="things", image_id="cat")
    after = with_bytes(state, second.reference, version=2)
    assert after.object == second.reference
    assert after.model_dump(exclude={"object", "version"}) == state.model_dump(
        exclude={"object", "version"}
    )


def test_a_tombstone_refers_to_no_bytes() -> None:
    """Whose the image was stays, the bytes go."""
    gone = deleted(uploaded("cat", FIRST.reference, FACTS, version=1), version=2)
    assert (gone.object, gone.owner_id, gone.version) == (None, "me", 2)


@pytest.mark.parametrize("slip", ["visibilty", "owner", "image_id", "version", "object"])
def test_a_fact_that_images_do_not_have_is_an_error(slip: str) -> None:
    """Else a misspelt `visibility` would leave the image as it was, in silence."""
    said: Any = {slip: "private"}
    with pytest.raises(TypeError, match=slip):
        uploaded("cat", FIRST.reference, said, version=1)
    state = uploaded("cat", FIRST.reference, FACTS, version=1)
    with pytest.raises(TypeError, match="it has visibility"):
        changed(state, said, version=2)


def test_a_value_out_of_bounds_is_an_error() -> None:
    """One string is no list of tags."""
    with pytest.raises(ValidationError, match="tags"):
        uploaded("cat", FIRST.reference, {"tags": "abc"}, version=1)


def test_the_api_takes_no_fact_that_images_do_not_have() -> None:
    """Forms and patches of the API name facts, and the version."""
    known = ImageFacts.__annotations__.keys() | {"version"}
    assert ImageFields.model_fields.keys() <= known
    assert ImagePatch.model_fields.keys() <= known


def test_an_originals_place_follows_from_its_bytes() -> None:
    """Equal bytes lie in one place, others in another; an id that no key can hold is refused."""
    again = original_of(b"first", bucket="things", image_id="cat", content_type="image/png")
    other = original_of(b"other", bucket="things", image_id="cat", content_type="image/png")
    assert again == FIRST
    assert other.reference.key != FIRST.reference.key
    with pytest.raises(ValidationError, match="no URL"):
        original_of(b"first", bucket="things", image_id="..")
