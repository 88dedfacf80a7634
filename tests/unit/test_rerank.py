from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.pictures.near_duplicates import cluster_of, hash_bits, near_any
from sightline.engine.records import Hit, IndexedImage
from sightline.search_api.search.rerank import (
    SPARE_ROUNDS,
    LookedAt,
    RankedPage,
    duplicate_policies,
    page_of,
)
from tests.indexed_images import image

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BITS = 40


@cache
def hit(name: str, content: int, look: int, score: float = 0.5, cluster: int | None = None) -> Hit:
    """A result with these bytes, this dHash and this cluster."""
    found = replace(
        image(name),
        content_sha256=f"{content:064x}",
        perceptual_hash=f"{look:064x}",
        cluster=None if cluster is None else f"{cluster:064x}",
    )
    return Hit(image=found, score=score)


@cache
def spread(number: int) -> int:
    """A hash more than 40 bits from every other number's."""
    return int(f"{number % 16:x}" * 64, 16) ^ (2**256 - 1 if number % 16 == 0 else 0)


class Reads:
    """An index over hits in order of score; counts how often and how much it is asked."""

    def __init__(self, hits: list[Hit]) -> None:
        self._hits = hits
        self.calls = 0
        self.returned = 0

    def first(self, cluster: str) -> list[IndexedImage]:
        """The images of the cluster, the one of the lowest number first."""
        images = [hit.image for hit in self._hits if hit.image.cluster == cluster]
        return sorted(images, key=lambda image: int(image.image_id.rpartition("-")[2]))

    def fetch(self, limit: int, passed: LookedAt) -> list[Hit]:
        """The first that are not passed."""
        left = [
            hit
            for hit in self._hits
            if hit.image.cluster not in passed.clusters
            and hit.image.image_id not in passed.image_ids
        ][:limit]
        self.calls, self.returned = self.calls + 1, self.returned + len(left)
        return left


def collapsed(hits: list[Hit], limit: int, anchor: IndexedImage | None = None) -> RankedPage:
    """The page with duplicates collapsed."""
    reads = Reads(hits)
    policies = duplicate_policies(bits=BITS, anchor=anchor)
    return page_of(reads.fetch, limit, policies, reads.first)


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
    assert hash_bits("0" * 64) == hash_bits(None) == 0
    page = collapsed([hit("red", 1, 0), hit("blue", 2, 0)], 2)
    assert len(page.hits) == 2


def test_bits_that_differ_are_counted() -> None:
    """Hashes are as far apart as they have different bits."""
    mine, other = hash_bits("0f"), hash_bits("f0")
    assert near_any(mine, [other], bits=8)
    assert not near_any(mine, [other], bits=7)


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


@given(copies=st.lists(st.integers(1, 400), min_size=1, max_size=12), limit=st.integers(1, 30))
def test_any_number_of_copies_leaves_a_full_page_in_few_reads(
    copies: list[int], limit: int
) -> None:
    """One of each cluster, the best, however many there are of it."""
    hits = [
        hit(f"{cluster}-{n}", 1_000 * cluster + n, spread(cluster), cluster=spread(cluster))
        for cluster, count in enumerate(copies, 1)
        for n in range(count)
    ]
    reads = Reads(hits)
    page = page_of(reads.fetch, limit, duplicate_policies(bits=BITS, anchor=None), reads.first)
    wanted = [f"{cluster}-0" for cluster in range(1, len(copies) + 1)][:limit]
    assert [h.image.image_id for h in page.hits] == wanted
    assert reads.calls <= len(wanted) + 1 <= limit + SPARE_ROUNDS
    assert reads.returned <= reads.calls * (2 * limit + 8)


def test_copies_of_the_anchor_do_not_empty_the_page() -> None:
    """Searching by one of a thousand copies finds what is like it and is no copy."""
    hits = [hit(f"copy-{n}", n, spread(1), cluster=spread(1)) for n in range(1_050)]
    hits += [hit("other", 5_000, spread(2), cluster=spread(2))]
    page = collapsed(hits[1:], 24, hits[0].image)
    assert [h.image.image_id for h in page.hits] == ["other"]


def alike(middle: int, count: int) -> list[Hit]:
    """Within 40 bits of one picture, further from each other, each a cluster of its own."""
    choose = random.Random(9)
    looks = [middle ^ sum(1 << bit for bit in choose.sample(range(256), 38)) for _ in range(count)]
    return [hit(f"alike-{n}", n, look, 0.9 - n / 1e5, cluster=look) for n, look in enumerate(looks)]


@pytest.mark.parametrize("anchored", [True, False])
def test_a_page_is_not_empty_because_too_many_look_alikes_were_found(*, anchored: bool) -> None:
    """Thousands of an image's, none of each other: they fill the page, the nearest first."""
    copy, limit = hit("copy-9", 9_000, spread(1), 0.95, cluster=spread(1)), 24
    hits, other = alike(spread(1), 3_000), hit("other", 9_001, spread(2), 0.1, cluster=spread(2))
    anchor = hit("anchor", 9_002, spread(1)).image if anchored else None
    reads = Reads([copy, *hits, other])
    policies = duplicate_policies(bits=BITS, anchor=anchor)
    page = page_of(reads.fetch, limit, policies, reads.first)
    wanted = ["copy-9", *(h.image.image_id for h in hits)][:limit]
    assert [h.image.image_id for h in page.hits] == wanted
    assert reads.calls <= limit + SPARE_ROUNDS
    left_out = reads.returned - limit
    assert page.removed == {"near_duplicate": left_out}


def test_look_alikes_fill_no_page_that_others_can() -> None:
    """A hundred and fifty of the anchor's are passed over; what is like it and none is shown."""
    anchor = hit("anchor", 9_002, spread(1)).image
    others = [hit(f"o{n}", 9_100 + n, spread(n), 0.1, cluster=spread(n)) for n in range(2, 8)]
    page = collapsed([*alike(spread(1), 150), *others], 6, anchor)
    assert [h.image.image_id for h in page.hits] == [h.image.image_id for h in others]


def test_among_equal_pictures_the_first_published_stays() -> None:
    """However many copies come before it, and whatever order they come in."""
    copies = [hit(f"copy-{n}", 1, spread(1), cluster=spread(1)) for n in range(900, 0, -1)]
    other = hit("other", 2, spread(2), cluster=spread(2))
    page = collapsed([*copies, other], 2)
    assert [h.image.image_id for h in page.hits] == ["copy-1", "other"]


def test_a_cluster_is_asked_once_for_its_first() -> None:
    """Also where several of its pictures are on the page: near its first, not near each other."""
    middle = spread(1)
    looks = [middle ^ (2**30 - 1), middle ^ (2**60 - 2**30), middle ^ (2**90 - 2**60)]
    hits = [
        hit(f"{copy}-{n}", n, look, cluster=middle)
        for n, look in enumerate(looks)
        for copy in ("one", "two")
    ]
    more = hit("more", 9, spread(2), cluster=spread(2))
    asked: list[str] = []

    def first(cluster: str) -> list[IndexedImage]:
        asked.append(cluster)
        return []

    reads = Reads([*hits, more])
    page = page_of(reads.fetch, 3, duplicate_policies(bits=BITS, anchor=None), first)
    assert [h.image.image_id for h in page.hits] == ["one-0", "one-1", "one-2"]
    assert asked == [f"{middle:064x}"]


def test_the_index_is_not_asked_for_equals_that_are_all_among_the_hits() -> None:
    """Their scores are above the last hit's; the first published of them stays all the same."""
    nearest = [hit(name, 1, spread(1), 0.9, spread(1)) for name in ("late", "first", "later")]
    for n, one in enumerate(nearest):
        since = NOW + timedelta(seconds=(1, 0, 2)[n])
        nearest[n] = replace(one, image=replace(one.image, since=since))
    rest = [hit(f"r{n}", n, spread(n), 0.8 - n / 100, spread(n)) for n in range(2, 12)]

    def first(cluster: str) -> list[IndexedImage]:
        raise AssertionError(cluster)

    reads = Reads([*nearest, *rest])
    page = page_of(reads.fetch, 2, duplicate_policies(bits=BITS, anchor=None), first)
    assert [h.image.image_id for h in page.hits] == ["first", "r2"]


def test_a_picture_joins_the_nearest_cluster_and_equal_ones_always_the_same() -> None:
    """A star round the picture that began it: no chain leads from one picture to an unlike one."""
    first, near, far = spread(1), spread(1) ^ (2**30 - 1), spread(1) ^ (2**60 - 1)

    def of(look: int, *others: Hit) -> int:
        near = [other.image.cluster or "" for other in others]
        return int(cluster_of(f"{look:064x}", "0" * 64, near, bits=BITS), 16)

    assert of(first) == first
    begun = hit("a", 1, first, cluster=first)
    joined = hit("b", 2, near, cluster=of(near, begun))
    assert of(near, begun) == first
    assert of(far, begun, joined) == far, "near a member is not near the cluster"
    assert of(near, joined, hit("c", 3, near ^ 1, cluster=near ^ 1)) == first, "as its equal did"


def test_flat_pictures_share_a_cluster_only_with_equal_bytes() -> None:
    """Their hash says nothing."""
    red, blue = (cluster_of("0" * 64, f"{n:064x}", (), bits=BITS) for n in (1, 2))
    assert red != blue
    assert red == cluster_of("0" * 64, f"{1:064x}", [blue], bits=BITS)
    assert cluster_of(f"{7:064x}", "0" * 64, [red], bits=256) == f"{7:064x}", (
        "nothing joins a flat one"
    )
