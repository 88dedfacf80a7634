from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.pictures.near_duplicates import distance, near_duplicates
from sightline.engine.records import Hit, IndexedImage, Stage, WinnerLocation
from sightline.schemas.images import ImageUploaded, ObjectReference
from sightline.schemas.indexed import Outcome
from sightline.search_api.search.rerank import Page, duplicate_policies, page_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BITS = 40


def hit(name: str, content: int, look: int, score: float = 0.5) -> Hit:
    """A result with these bytes and this dHash."""
    state = ImageUploaded(
        image_id=name,
        version=1,
        object=ObjectReference(bucket="ours", key=name, size_bytes=1),
    )
    image = IndexedImage(
        state=state,
        event_id=name,
        event_source="/t",
        tie=0,
        stage=Stage.FINAL,
        outcome=Outcome.INDEXED,
        occurred=NOW,
        appended=NOW,
        applied=NOW,
        winner=WinnerLocation("images.v1", 0, 0),
        content_sha256=f"{content:064x}",
        perceptual_hash=f"{look:064x}",
    )
    return Hit(image=image, score=score)


def spread(number: int) -> int:
    """A hash more than 40 bits from every other number's."""
    return int(f"{number % 16:x}" * 64, 16) ^ (2**256 - 1 if number % 16 == 0 else 0)


def collapsed(hits: list[Hit], limit: int, anchor: IndexedImage | None = None) -> Page:
    """The page with duplicates collapsed."""
    fetch: Callable[[int], list[Hit]] = lambda n: hits[:n]  # noqa: E731
    return page_of(fetch, limit, lambda: duplicate_policies(bits=BITS, anchor=anchor))


def test_the_same_bytes_are_shown_once() -> None:
    """Of several ids with one content, the nearest stays, and the reason is counted."""
    page = collapsed([hit("a", 1, spread(1)), hit("b", 1, spread(1)), hit("c", 2, spread(2))], 3)
    assert [h.image.image_id for h in page.hits] == ["a", "c"]
    assert page.removed == {"duplicate": 1}


def test_look_alikes_are_shown_once() -> None:
    """At the bound of 40 bits the second goes; one bit further it stays."""
    at, beyond = spread(1) ^ (2**40 - 1), spread(1) ^ (2**41 - 1)
    page = collapsed([hit("a", 1, spread(1)), hit("b", 2, at), hit("c", 3, beyond)], 3)
    assert [h.image.image_id for h in page.hits] == ["a", "c"]
    assert page.removed == {"near_duplicate": 1}


def test_an_indexed_anchor_stands_for_its_duplicates() -> None:
    """Searching by an image does not answer with copies of that image."""
    anchor = hit("q", 1, spread(1)).image
    page = collapsed([hit("a", 1, spread(3)), hit("b", 2, spread(1))], 3, anchor)
    assert not page.hits
    assert page.removed == {"duplicate": 1, "near_duplicate": 1}


def test_flat_pictures_are_never_look_alikes() -> None:
    """A picture without any gradient has an all-zero hash, which says nothing."""
    assert not near_duplicates("0" * 64, "0" * 64, bits=BITS)
    assert not near_duplicates(None, "f" * 64, bits=BITS)
    page = collapsed([hit("red", 1, 0), hit("blue", 2, 0)], 2)
    assert len(page.hits) == 2


def test_distance_counts_bits() -> None:
    """Hamming distance of hex strings."""
    assert distance("0f", "f0") == 8


contents = st.lists(st.integers(1, 15), max_size=300)


@given(contents=contents, limit=st.integers(1, 100))
def test_a_page_is_refilled_and_counts_do_not_depend_on_fetching(
    contents: list[int], limit: int
) -> None:
    """As a slow reading of the whole list: as many as there are, and what was left out above."""
    hits = [hit(f"i{n}", content, spread(content)) for n, content in enumerate(contents)]
    kept: list[str] = []
    seen: set[int] = set()
    removed = 0
    for n, content in enumerate(contents):
        if len(kept) == limit:
            break
        if content in seen:
            removed += 1
        else:
            seen.add(content)
            kept.append(f"i{n}")
    page = collapsed(hits, limit)
    assert [h.image.image_id for h in page.hits] == kept
    assert sum(page.removed.values()) == removed
