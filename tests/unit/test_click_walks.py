"""Walks on the click graph: against every way that there is, and by what searches agree on."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.training.datasets.click_walks import ClickWalks
from sightline.training.datasets.pairs import ClickPairs
from tests.learning import clicked

IMAGES = tuple("abcdef")
DRAWS = 4_000
NODES = st.integers(0, len(IMAGES) - 1)


Edges = list[tuple[int, int]]


def led_on(edges: Edges, likely: dict[int, Fraction]) -> dict[int, Fraction]:
    """How likely each image is two clicks further: every way, pair by pair."""
    further: dict[int, Fraction] = defaultdict(Fraction)
    for image, share in likely.items():
        sharing = [anchor for anchor, positive in edges if positive == image]
        for other in sharing:
            preferred = [positive for anchor, positive in edges if anchor == other]
            for end in preferred:
                further[end] += share / (len(sharing) * len(preferred))
    return further


def slow_ends(pairs: ClickPairs, row: int) -> dict[int, Fraction]:
    """How likely each end is: four times over pairs that there are twice, else once over all."""
    edges: Edges = list(zip(pairs.anchor.tolist(), pairs.positive.tolist(), strict=True))
    anchor, own = edges[row]
    twice = [edge for edge in edges if edges.count(edge) > 1]
    walked = {own: Fraction(1)}
    if any(positive == own for _, positive in twice):
        for _ in range(4):
            walked = led_on(twice, walked)
    else:
        walked = led_on(edges, walked)
    likely: dict[int, Fraction] = defaultdict(Fraction)
    for end, share in walked.items():
        wrong = end == anchor or end in pairs.negatives[pairs.owners() == row]
        likely[own if wrong else end] += share
    return likely


@given(
    st.lists(st.tuples(NODES, NODES), min_size=1, max_size=16),
    st.lists(NODES, max_size=2, unique=True),
)
@settings(max_examples=25, deadline=None, derandomize=True)  # among all graphs, some stray further
def test_every_way_is_as_likely_as_its_pairs(
    edges: list[tuple[int, int]], negatives: list[int]
) -> None:
    """Each of a thousand pairs alike: the shares of the ends are those of the ways."""
    pairs = clicked(IMAGES, np.asarray(edges), negatives=tuple(negatives))
    for row in range(len(pairs)):
        ends = ClickWalks(pairs).ends(np.full(DRAWS, row), np.random.default_rng(row))
        seen, expected = Counter(ends.tolist()), slow_ends(pairs, row)
        assert seen.keys() <= expected.keys()
        for end, share in expected.items():
            assert abs(seen[end] / DRAWS - share) < 0.05


def test_a_wrong_click_leads_no_walk_astray() -> None:
    """`a` and `c` agree on `b`, `c` and `e` on `d`: one click on `f` is not walked by."""
    edges = np.array([[0, 1], [2, 1], [2, 3], [4, 3]])
    pairs = clicked(IMAGES, np.concatenate([edges, edges, [[0, 5]]]))
    ends = ClickWalks(pairs).ends(np.zeros(DRAWS, np.int64), np.random.default_rng(0))
    assert set(ends.tolist()) == {1, 3}


def test_what_was_passed_over_is_no_end() -> None:
    """`a` prefers `b`, as `c` does, who also prefers `d` and `e`; `a`'s search passed `e` over."""
    edges = np.array([[0, 1], [2, 1], [2, 3], [2, 4]])
    pairs = clicked(IMAGES, edges, negatives=(4,))
    ends = ClickWalks(pairs).ends(np.zeros(DRAWS, np.int64), np.random.default_rng(0))
    assert set(ends.tolist()) == {1, 3}


def test_equal_draws_are_equal_ends() -> None:
    """What a batch has depends on its random numbers alone."""
    pairs = clicked(IMAGES, np.array([[0, 1], [2, 1], [2, 3], [4, 3]]))
    rows = np.arange(len(pairs)).repeat(50)
    first, again = (ClickWalks(pairs).ends(rows, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, again)
