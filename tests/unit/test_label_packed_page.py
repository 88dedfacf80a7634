"""A page that is held packed comes back as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sightline.stream_workers.labels.codecs.interactions import (
    ImageQuery,
    Location,
    Page,
    Query,
    Shown,
    UploadQuery,
)
from sightline.stream_workers.labels.join.open_search import Impression
from sightline.stream_workers.labels.join.packed_page import PackedImpression

_names = st.text("abcXYZ019._~-", min_size=1, max_size=128)
_hashes = st.binary(min_size=32, max_size=32).map(bytes.hex)
_shown = st.builds(
    Shown,
    image_id=_names,
    position=st.integers(1, 100),
    score=st.floats(allow_nan=False, allow_infinity=False),
    perceptual_hash=_hashes,
)


def _page(shown: list[Shown], anchor_id: str, query: Query) -> Page:
    return Page(
        search_id="s1",
        issued_at="2026-03-01T12:03:00Z",
        actor_id="ann",
        session_id="session",
        anchor_id=anchor_id,
        query=query,
        anchor_perceptual_hash="0f" * 32,
        shown=shown,
        model_digest="m",
        generation="g",
        variant="b",
        user_pseudonym="u",
        location=Location("DE"),
    )


@given(shown=st.lists(_shown, max_size=100), anchor_id=_names, uploaded=st.booleans())
def test_a_page_comes_back_as_it_was(shown: list[Shown], anchor_id: str, *, uploaded: bool) -> None:
    """All but session and location, which the join asks nobody for; as often as it is opened."""
    query: Query = UploadQuery("ab" * 32) if uploaded else ImageQuery(anchor_id)
    page = _page(shown, anchor_id, query)
    before = replace(page, session_id="ann", location=None)
    packed = PackedImpression.of(Impression(7, "event", 1_772_366_580_000, page))
    wanted = Impression(7, "event", 1_772_366_580_000, before)
    assert packed.opened() == wanted
    assert packed.opened() == wanted


def test_packed_images_take_less_than_half_of_their_json() -> None:
    """24 images of a page: 32 bytes a hash, and no field names."""
    shown = [Shown(f"image-{n}", n, 0.5, "0f" * 32) for n in range(1, 25)]
    packed = PackedImpression.of(Impression(0, "event", 0, _page(shown, "a", ImageQuery("a"))))
    assert len(packed.images) < 24 * 60
    assert packed.page.shown == []
