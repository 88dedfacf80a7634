"""A part of the queries, drawn by kinds: what stays, and that it tells what all of them tell."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.training.datasets.splits import held_out_clusters
from sightline.training.evaluation.click_truth import (
    Drawn,
    PictureQueries,
    clicks_as_truth,
    score_by_clicks,
)
from sightline.training.evaluation.paired import difference_of
from sightline.training.evaluation.query_sample import at_most
from sightline.training.evaluation.relevance import JudgedPairs
from sightline.training.evaluation.strength import Groups
from tests.learning import world

SEEDS = range(200)


def queries_in(sizes: list[int], unclicked: int = 0) -> PictureQueries:
    """So many queries of each kind, mixed; of the last kinds nobody clicked anything."""
    kinds = np.random.default_rng(7).permutation(np.repeat(np.arange(len(sizes)), sizes))
    anchors = np.arange(len(kinds), dtype=np.int32)
    answers = [(int(at), (int(at) + 1) % len(kinds), 4) for at in anchors]
    groups = Groups(clusters=kinds, clicked=kinds < len(sizes) - unclicked, slices={})
    truth = JudgedPairs.of(answers, queries=len(kinds), gallery=len(kinds), own=anchors)
    return PictureQueries(anchors=anchors, truth=truth, groups=groups)


def sizes_of(queries: PictureQueries, kinds: int) -> NDArray[np.int64]:
    """How many queries of each kind there are."""
    return np.bincount(queries.groups.clusters, minlength=kinds)


def test_what_is_no_more_stays_as_it_is() -> None:
    """Up to the limit nothing is drawn."""
    queries = queries_in([3, 4], unclicked=1)
    assert at_most(queries, 7, seed=1) is queries
    assert queries.drawn is None


def test_the_seed_tells_what_is_drawn() -> None:
    """The same seed draws the same, another one others; both are told."""
    queries = queries_in([50, 50], unclicked=1)
    drawn = [at_most(queries, 20, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0].anchors.tolist() == drawn[1].anchors.tolist() != drawn[2].anchors.tolist()
    assert drawn[2].drawn == Drawn(of=100, seed=2)


def test_kinds_stay_in_proportion_and_none_is_lost() -> None:
    """One query of each kind where there is room for all kinds, and else by how many it has."""
    queries = queries_in([400, 200, 1, 100, 100, 1], unclicked=3)
    for seed in SEEDS:
        first, second, third, *others = sizes_of(at_most(queries, 62, seed=seed), 6).tolist()
        assert third == others[2] == 1
        assert first + second == sum(others[:2]) == 30
        assert abs(first - 20) <= 1
        assert abs(others[0] - 15) <= 1


@pytest.mark.parametrize(("clicked", "others", "kept"), [(90, 10, 30), (10, 90, 10), (90, 90, 20)])
def test_either_side_gets_half_or_what_the_other_leaves(
    clicked: int, others: int, kept: int
) -> None:
    """Of 40 that there is room for."""
    queries = at_most(queries_in([clicked, others], unclicked=1), 40, seed=0)
    assert int(queries.groups.clicked.sum()) == kept
    assert len(queries.anchors) == 40


def test_each_query_has_the_same_chance_where_kinds_are_too_many() -> None:
    """Half of the queries are of the first kind, and so is half of what is drawn."""
    queries = queries_in([100, *[1] * 100])
    of_first = [sizes_of(at_most(queries, 20, seed=seed), 101)[0] for seed in SEEDS]
    assert np.mean(of_first) == pytest.approx(10, abs=0.6)


def test_what_is_drawn_scores_as_it_does_among_all() -> None:
    """Truth, kind and side of each query are its own still."""
    learning = world(kinds=12, each=8, clicks=400)
    kinds = held_out_clusters(learning.pairs, learning.kinds, share=0.5)
    every = clicks_as_truth(learning.pairs, kinds, np.zeros(len(learning.pairs), bool))
    some = at_most(every, len(every.anchors) // 2, seed=3)
    rows = np.searchsorted(every.anchors, some.anchors)
    assert some.groups.clusters.tolist() == every.groups.clusters[rows].tolist()
    assert some.groups.clicked.tolist() == every.groups.clicked[rows].tolist()
    all_scores, scores = (
        score_by_clicks(learning.features, learning.start, each) for each in (every, some)
    )
    for name, values in all_scores.at(rows).columns().items():
        np.testing.assert_allclose(scores.columns()[name], values, err_msg=name)


def test_the_bounds_hold_what_all_queries_tell() -> None:
    """A fifth of 4,000 queries of 200 kinds: drawn by kinds, bounds are hardly wider, and right."""
    random = np.random.default_rng(5)
    sizes = random.geometric(1 / 20, 200).tolist()
    queries = queries_in(sizes)
    kinds = queries.groups.clusters
    gains = random.normal(0.02, 0.1, 200)[kinds] + random.normal(0, 0.14, len(kinds))
    every = difference_of(gains, kinds)
    points = []
    for seed in range(40):
        some = at_most(queries, len(kinds) // 5, seed=seed)
        found = difference_of(gains[some.anchors], some.groups.clusters, draws=200)
        assert found.clusters == 200
        assert found.lower < every.point < found.upper
        assert found.upper - found.lower < 1.3 * (every.upper - every.lower)
        points.append(found.point)
    assert np.mean(points) == pytest.approx(every.point, abs=0.003)
