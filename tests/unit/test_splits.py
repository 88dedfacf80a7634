"""Splits: by time and by kind, and nothing that belongs together is torn apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.training.datasets.clusters import k_means, picture_clusters
from sightline.training.datasets.splits import HeldOut, held_out_clusters, split_by_time
from sightline.training.loop.learning import LearningSettings
from tests.learning import clicked, world

IMAGES = tuple("abcdefghij")


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5), st.integers(0, 9)), min_size=1),
    st.lists(st.integers(0, 6), min_size=10, max_size=10),
    st.sampled_from([0.0, 0.2, 0.5, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_a_cut_in_time_tears_nothing_apart(
    clicks: list[tuple[int, int, int]], groups: list[int], share: float
) -> None:
    """Earlier is before later, and no anchor's look-alike and no search is on both sides."""
    edges = np.array([(anchor, positive) for anchor, _, positive in clicks])
    pairs = replace(
        clicked(IMAGES, edges),
        search=tuple(f"s{search}" if search else "" for _, search, _ in clicks),
    )
    split = split_by_time(pairs, np.array(groups), later_share=share)
    assert not (split.earlier & split.later).any()
    assert (pairs.issued_at_ms[split.earlier] < split.cut_ms).all()
    assert (pairs.issued_at_ms[split.later] >= split.cut_ms).all()
    group = np.array(groups)[pairs.anchor]
    assert not set(group[split.earlier]) & set(group[split.later])
    searches = np.array(pairs.search)
    assert set(searches[split.earlier]) & set(searches[split.later]) <= {""}


def test_the_share_that_comes_later() -> None:
    """Anchors that were asked by only after the cut; what an early one is asked later is unused."""
    edges = np.array([(at % 8 if at < 9 else 9, 0) for at in range(10)])
    split = split_by_time(clicked(IMAGES, edges), np.arange(10), later_share=0.2)
    assert split.cut_ms == 60_000 * 8
    assert np.flatnonzero(split.earlier).tolist() == list(range(8))
    assert np.flatnonzero(split.later).tolist() == [9]


def test_nothing_is_split_into_nothing() -> None:
    """No pairs, no sides."""
    pairs = clicked(IMAGES, np.empty((0, 2), np.int64))
    assert len(split_by_time(pairs, np.arange(10)).earlier) == 0
    assert len(held_out_clusters(pairs, np.arange(10)).train) == 0


def held(seed: int, share: float = 0.25) -> HeldOut:
    """Of the eight kinds of a small world."""
    seen = world()
    return held_out_clusters(seen.pairs, seen.kinds, share=share, seed=seed)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_share_of_the_kinds_is_held_out_whole(share: float) -> None:
    """A kind is trained or tested; here all clicks stay within a kind, so that every pair is."""
    seen, out = world(), held(0, share)
    assert len({*seen.kinds[out.held]}) == 8 * share
    assert not {*seen.kinds[out.held]} & {*seen.kinds[~out.held]}
    assert np.array_equal(out.test, out.held[seen.pairs.anchor])
    assert np.array_equal(out.train, ~out.test)


def test_a_click_on_a_kind_that_is_held_out_does_not_train() -> None:
    """Whoever asked: what trained on it would have seen it."""
    pairs = clicked(IMAGES, np.array([[0, 1], [0, 9], [9, 0], [9, 8]]))
    kinds = np.array([0] * 5 + [1] * 5)
    out = held_out_clusters(pairs, kinds, share=0.5, seed=0)
    trained = 0 if out.held[9] else 3
    assert np.flatnonzero(out.train).tolist() == [trained]
    assert np.flatnonzero(out.test).tolist() == ([2, 3] if out.held[9] else [0, 1])


def test_pictures_are_set_aside_from_kinds_that_teach() -> None:
    """A share of those that were asked by, with their look-alikes; of each kind one stays."""
    seen = world(kinds=8, each=12, clicks=2_000)
    twins = np.arange(96) // 2
    out = held_out_clusters(seen.pairs, seen.kinds, share=0.25, aside=0.25, groups=twins, seed=0)
    assert np.array_equal(out.held, held_out_clusters(seen.pairs, seen.kinds, share=0.25).held)
    assert not (out.held & out.aside).any()
    assert out.aside.sum() == 0.25 * np.count_nonzero(~out.held)
    assert np.array_equal(out.aside[::2], out.aside[1::2])
    touched = ~out.teaches[seen.pairs.anchor] | ~out.teaches[seen.pairs.positive]
    assert np.array_equal(out.train, ~touched)
    assert np.array_equal(out.asked, out.aside[seen.pairs.anchor])
    most = held_out_clusters(seen.pairs, seen.kinds, share=0, aside=0.99, seed=0)
    assert {*seen.kinds[most.teaches]} == {*seen.kinds}


def test_nobody_asked_by_what_is_not_set_aside() -> None:
    """A picture that was only preferred could not be asked by, so that it would tell nothing."""
    pairs = clicked(IMAGES, np.array([[0, 9], [1, 9], [2, 9], [3, 9]]))
    out = held_out_clusters(pairs, np.zeros(10, np.int64), share=0, aside=0.5)
    assert np.count_nonzero(out.aside) == 2
    assert not out.aside[4:].any()


KINDS = [(10, 0.2), (159, 0.2), (160, 0.5), (200, 0.4), (299, 80 / 299)]
KINDS += [(300, 0.4), (400, 0.3), (1_000, 0.2)]


@pytest.mark.parametrize(("kinds", "share"), KINDS)
def test_as_many_kinds_are_kept_out_as_decide(kinds: int, share: float) -> None:
    """Eighty, where that is at most half of them; a share that is asked for stays as it is."""
    assert LearningSettings().share_of(kinds) == share
    assert LearningSettings(held_out=0.3).share_of(kinds) == 0.3


def test_the_seed_alone_chooses() -> None:
    """Equal seeds hold out the same; of ten seeds some differ."""
    assert np.array_equal(held(3).held, held(3).held)
    assert len({held(seed).held.tobytes() for seed in range(10)}) > 3


def test_k_means_finds_what_is_apart() -> None:
    """Kinds that are clearly apart share no cluster, whatever the seed."""
    drawn = np.random.default_rng(0)
    kind = np.repeat(np.arange(5), 30)
    vectors = np.eye(5)[kind] * 4 + drawn.normal(size=(150, 5)) * 0.05
    for seed in range(3):
        clusters = k_means(vectors.astype(np.float32), 30, seed=seed)
        assert len({*zip(kind, clusters, strict=True)}) == len({*clusters}) >= 5
        again = k_means(vectors.astype(np.float32), 30, seed=seed)
        assert np.array_equal(clusters, again)


def test_labels_are_clusters_and_look_alikes_share_one() -> None:
    """What has no label is clustered apart from what has; a look-alike goes with its first."""
    vectors = np.eye(6, dtype=np.float32)
    labels = ["shoe", None, "bag", "shoe", None, "hat"]
    clusters = picture_clusters(vectors, np.array([0, 1, 2, 3, 4, 2]), labels=labels)
    assert clusters[0] == clusters[3]
    assert clusters[2] == clusters[5]
    assert len({clusters[0], clusters[2], clusters[1]}) == 3
    assert clusters.max() < 4
