"""Within two clicks: against sets that are walked one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.training.datasets.click_graph import (
    ClickGraph,
    SparseRows,
    certain_negatives,
    certain_triples,
    times_passed_over,
)
from sightline.training.datasets.pairs import ClickPairs, pairs_of
from tests.training_rows import table, triple


def clicks(edges: list[tuple[str, str]]) -> ClickPairs:
    """A search for each click."""
    return pairs_of(table([triple(f"s{n:04}", a, p, "none") for n, (a, p) in enumerate(edges)]))


def slow_reach(edges: list[tuple[str, str]], anchor: str) -> set[str]:
    """Itself, its clicks, anchors that share one of these, and their clicks."""
    own = {p for a, p in edges if a == anchor}
    others = {a for a, p in edges if p in own}
    return {anchor} | own | others | {p for a, p in edges if a in others}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdefghij")), max_size=20))
@settings(max_examples=25, deadline=None)
def test_within_two_clicks(edges: list[tuple[str, str]]) -> None:
    """Three ways to ask give one answer, for every image as an anchor."""
    pairs = clicks(edges)
    graph, every = ClickGraph.of(pairs), np.arange(len(pairs.images))
    expected = [slow_reach(edges, image) for image in pairs.images]
    reached, rows = graph.reach(every), graph.within_two(every)
    for row, wanted in zip(every, expected, strict=True):
        assert {pairs.images[at] for at in np.flatnonzero(reached[row])} == wanted
        assert [pairs.images[at] for at in rows[int(row)]] == sorted(wanted)
    anchor, image = (side.ravel() for side in np.meshgrid(every, every))
    assert np.array_equal(graph.near(anchor, image), reached[anchor, image])


def test_more_anchors_than_are_looked_at_together() -> None:
    """A thousand anchors, each asked for thrice; only every tenth shares a click."""
    edges = [(f"a{n:04}", f"p{n // 10}" if n % 10 < 2 else f"q{n}") for n in range(1000)]
    pairs = clicks(edges)
    graph = ClickGraph.of(pairs)
    rows = np.concatenate([pairs.anchor] * 3)
    sizes = np.diff(graph.within_two(rows).starts)
    assert sizes.tolist() == [3 if n % 10 < 2 else 2 for n in range(1000)] * 3
    assert graph.near(rows, np.concatenate([pairs.positive] * 3)).all()


def test_entries_of_some_rows() -> None:
    """Repeats are one entry, rows may be empty and may be asked for twice."""
    rows = SparseRows.of(np.array([2, 0, 2, 2]), np.array([5, 1, 3, 5]), count=4)
    assert (rows.starts.tolist(), rows.columns.tolist()) == ([0, 1, 1, 3, 3], [1, 3, 5])
    asked, columns = rows.taken(np.array([2, 1, 0, 2]))
    assert (asked.tolist(), columns.tolist()) == ([0, 0, 2, 3, 3], [3, 5, 1, 3, 5])


def test_certain_negatives_are_two_clicks_away() -> None:
    """What another anchor's people preferred stays no negative; pairs stay, even without any."""
    pairs = pairs_of(
        table(
            [
                triple("s1", "a", "p", "far"),
                triple("s1", "a", "p", "x"),
                triple("s2", "b", "p", "a"),
                triple("s3", "b", "x", "far"),
            ]
        )
    )
    certain = certain_negatives(pairs, far_searches=1)
    names = [
        [certain.images[at] for at in certain.negatives[certain.owners() == row]]
        for row in range(len(pairs))
    ]
    assert names == [["far"], [], ["far"]]
    assert certain.search == pairs.search == ("s1", "s2", "s3")


def test_one_search_alone_makes_no_negative_certain() -> None:
    """Far as it is: a second search by the same anchor must pass it over, whatever it preferred."""
    rows = [triple("s1", "a", "p", "once"), triple("s1", "a", "q", "once")]
    rows += [triple("s1", "a", "p", "twice"), triple("s2", "a", "p", "twice")]
    rows += [triple("s3", "b", "r", "once")]
    certain = certain_negatives(pairs_of(table(rows)))
    assert {certain.images[at] for at in certain.negatives} == {"twice"}
    assert len(certain.negatives) == 2


def test_what_many_searches_passed_over_is_certain_though_it_is_near() -> None:
    """Each search once, however many positives it had; of its own anchor alone."""
    rows = [triple("s0", "b", "p", "far"), triple("s0", "b", "x", "far")]
    rows += [triple(f"s{n}", "a", p, "x") for n in (1, 2) for p in "pqr"]
    rows += [triple("s3", "a", "p", "y"), triple("s4", "b", "p", "y"), triple("s5", "b", "y", "z")]
    pairs = pairs_of(table(rows))
    times = {
        (pairs.images[anchor], pairs.images[negative]): int(count)
        for anchor, negative, count in zip(
            pairs.anchor[pairs.owners()], pairs.negatives, times_passed_over(pairs), strict=True
        )
    }
    assert times == {("b", "far"): 1, ("a", "x"): 2, ("a", "y"): 1, ("b", "z"): 1}

    def near_ones(searches: int) -> set[str]:
        kept = certain_negatives(pairs, searches=searches)
        return {kept.images[at] for at in kept.negatives} & {"x", "y"}

    assert [near_ones(searches) for searches in (1, 2, 3)] == [{"x", "y"}, {"x"}, set()]


def test_triples_with_certain_negatives() -> None:
    """In the order of the table; how many searches it takes beyond two clicks is asked for."""
    rows = [triple(f"s{n}", "a", "p", "far") for n in (1, 2)]
    rows += [triple("s2", "a", "p", "once"), triple("s1", "b", "p", "a")]
    rows += [triple(f"s{n}", "a", "q", "q2") for n in range(5)]
    kept = {least: certain_triples(table(rows), far_searches=least) for least in (1, 2, 3)}
    assert kept[1].tolist() == [True, True, True, False, *[True] * 5]
    assert kept[2].tolist() == [True, True, False, False, *[True] * 5]
    assert kept[3].tolist() == [False, False, False, False, *[True] * 5]
