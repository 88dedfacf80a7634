"""Held-back clicks as ground truth: what is asked, what counts, and what the gate makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.engine.embedding.projections import Projection
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.datasets.splits import HeldOut, held_out, held_out_clusters
from sightline.training.evaluation.click_truth import clicks_as_truth, hot_and_cold, score_by_clicks
from sightline.training.evaluation.gate import GateLimits, GateVerdict, decide
from sightline.training.evaluation.served import ServedAsBuilt
from sightline.training.evaluation.strength import CAREFUL, evidence
from sightline.training.loop.learning import LearningSettings, learn
from sightline.training.loop.settings import HeadSettings
from tests.learning import NOISE, WIDTH, world

HEAD = HeadSettings(steps=40, batch=64, corpus=64, learning_rate=1e-2)
WHOLE = ServedAsBuilt(pictures=200, worst_cosine=1.0, finite=True, collapsed=0)


def pairs_of(rows: list[tuple[int, int, int]], pictures: int) -> ClickPairs:
    """Pairs of (anchor, positive, grade) without negatives, a millisecond apart."""
    anchor, positive, grade = np.asarray(rows).T
    count = len(rows)
    return ClickPairs(
        images=tuple(f"i{at}" for at in range(pictures)),
        anchor=anchor.astype(np.int32),
        positive=positive.astype(np.int32),
        negative_starts=np.zeros(count + 1, np.int64),
        negatives=np.zeros(0, np.int32),
        weight=np.ones(count, np.float32),
        grade=grade.astype(np.int8),
        issued_at_ms=np.arange(count, dtype=np.int64),
        search=tuple(f"s{at}" for at in range(count)),
    )


def held(
    pairs: ClickPairs, clusters: list[int], kinds: set[int], aside: tuple[int, ...] = ()
) -> HeldOut:
    """These kinds held out of training, and these pictures set aside."""
    number, pictures = np.asarray(clusters), np.arange(len(clusters))
    return held_out(pairs, number, np.isin(number, [*kinds]), np.isin(pictures, aside))


def test_only_what_training_did_not_see_is_asked() -> None:
    """Later anchors of trained kinds, and all of held-out kinds; pairs that touch both are left."""
    pairs = pairs_of([(0, 1, 2), (1, 0, 3), (1, 3, 5), (2, 3, 2), (3, 2, 5)], pictures=4)
    later = np.asarray([False, True, True, False, False])
    queries = clicks_as_truth(pairs, held(pairs, [0, 0, 1, 1], {1}), later)
    assert queries.anchors.tolist() == [1, 2, 3]
    assert queries.groups.clicked.tolist() == [True, False, False]
    assert queries.groups.clusters.tolist() == [0, 1, 1]
    # What was preferred is relevant, and what lies two clicks away: 2 shares 3 with 1. A share is
    # more than a click; but (1, 3) is of both kinds, and says only that 3 is relevant.
    assert queries.truth.grades(0, 3).tolist() == [[4, 0, 4, 4], [4, 4, 0, 4], [0, 0, 5, 0]]
    assert queries.truth.own_rows(0, 3).tolist() == [1, 2, 3]


def test_what_was_set_aside_is_asked_as_of_a_kind_that_was_clicked() -> None:
    """Its kind taught, and itself did not; all clicks on it judge, however old they are."""
    pairs = pairs_of([(0, 1, 2), (1, 0, 3), (2, 0, 5), (3, 2, 2)], pictures=4)
    kept = held(pairs, [0, 0, 0, 1], {1}, aside=(1,))
    queries = clicks_as_truth(pairs, kept, np.zeros(4, bool))
    assert queries.anchors.tolist() == [1, 3]
    assert queries.groups.clicked.tolist() == [True, False]
    assert np.flatnonzero(kept.train).tolist() == [2]


def test_anchors_are_hot_or_cold() -> None:
    """By more pairs than the median query has; where all have as many there are no slices."""
    pairs = pairs_of([(0, 1, 2), (0, 1, 2), (1, 0, 2), (2, 0, 2), (2, 1, 2), (2, 0, 5)], pictures=4)
    queries = clicks_as_truth(pairs, held(pairs, [0, 0, 0, 0], {0}), np.zeros(6, bool))
    assert queries.anchors.tolist() == [0, 1, 2]
    slices = {name: mask.tolist() for name, mask in queries.groups.slices.items()}
    assert slices == {"hot": [False, False, True], "cold": [True, True, False]}
    assert hot_and_cold(np.array([2, 2, 2])) == hot_and_cold(np.zeros(0, np.int64)) == {}


def test_what_another_page_showed_is_relevant_too() -> None:
    """A model that finds what the serving one never showed for a picture loses nothing by it."""
    learning = world(kinds=12, each=8, clicks=400)
    pairs, features = learning.pairs, learning.features
    kinds = held_out_clusters(pairs, learning.kinds, share=0.5)
    queries = clicks_as_truth(pairs, kinds, np.zeros(len(pairs), bool))
    labels = learning.kinds[queries.anchors][:, None] == learning.kinds[None, :]
    relevant = queries.truth.grades(0, len(queries.anchors)) > 0
    relevant[np.arange(len(relevant)), queries.anchors] = True
    assert not (relevant & ~labels).any()
    assert relevant.sum() / labels.sum() > 0.9
    once = np.unique(np.stack([pairs.anchor, pairs.positive]), axis=1).shape[1]
    assert once / (len(learning.kinds) * 7) < 0.6
    assert len(features) == relevant.shape[1]


def test_nothing_held_back_is_nothing_asked() -> None:
    """No query, and the gate finds too little."""
    pairs = pairs_of([(0, 1, 2)], pictures=2)
    queries = clicks_as_truth(pairs, held(pairs, [0, 0], set()), np.asarray([False]))
    assert len(queries.anchors) == 0
    assert queries.truth.queries == 0


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        (LearningSettings(head=HEAD), GateVerdict.RELEASED),
        (LearningSettings(head=HEAD, held_out=0.2), GateVerdict.TOO_LITTLE),
        (LearningSettings(head=HEAD, aside=0, later=0), GateVerdict.TOO_LITTLE),
    ],
    ids=["as it is", "a fifth of the kinds", "nothing set aside"],
)
def test_a_small_catalogue_is_decided(settings: LearningSettings, verdict: GateVerdict) -> None:
    """800 pictures of 160 kinds, each of which was asked by: what is kept out is enough to tell."""
    small = world(kinds=160, each=5, clicks=8_000)
    labels = [str(kind) for kind in small.kinds]
    learnt = learn(small.pairs, small.features, small.start, settings, labels=labels)
    queries = clicks_as_truth(learnt.pairs, learnt.held_out, learnt.time.later)
    projection = learnt.trained.head.projection(CAREFUL)
    before, after = (
        score_by_clicks(small.features, each, queries) for each in (small.start, projection)
    )
    found = evidence(before, after, queries.groups, WHOLE)
    assert decide(found, GateLimits()).verdict is verdict


@pytest.mark.parametrize("verdict", [GateVerdict.RELEASED, GateVerdict.REFUSED])
def test_the_gate_decides_by_clicks_alone(verdict: GateVerdict) -> None:
    """A projection that drops what only disturbs is released; the way back is refused."""
    learning = world(kinds=120, each=6, clicks=2_400)
    kinds = held_out_clusters(learning.pairs, learning.kinds, share=0.75)
    later = np.arange(len(learning.pairs)) >= len(learning.pairs) // 2
    queries = clicks_as_truth(learning.pairs, kinds, later)
    quiet = np.where(np.arange(WIDTH)[:, None] < 8, 1 / NOISE**2, 1.0).astype(np.float32)
    wise = Projection(learning.start.mean, quiet * learning.start.matrix)
    released = verdict is GateVerdict.RELEASED
    old, new = (learning.start, wise) if released else (wise, learning.start)
    before, after = (score_by_clicks(learning.features, each, queries) for each in (old, new))
    decision = decide(evidence(before, after, queries.groups, WHOLE), GateLimits())
    assert decision.verdict is verdict
