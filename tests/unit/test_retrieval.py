"""Block-wise measures: equal to the slow definitions, whatever the block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.training.evaluation.relevance import EqualLabels, JudgedPairs, Relevance
from sightline.training.evaluation.retrieval import CUTS, QueryScores, score_queries
from tests import oracle_measures as measures


def slow(
    queries: np.ndarray, gallery: np.ndarray, grades: np.ndarray, own: np.ndarray
) -> list[dict[str, float]]:
    """Every measure of each query by `oracle_measures.py`, one query and one list at a time."""
    rows = []
    for query, given_to, itself in zip(queries, grades, own, strict=True):
        others = [at for at in range(len(gallery)) if at != itself]
        unit = gallery[others] / np.linalg.norm(gallery[others], axis=1, keepdims=True)
        similar = unit @ (query / np.linalg.norm(query))
        ranking = given_to[others][np.argsort(-similar, kind="stable")].tolist()
        found = measures.relevances(ranking)
        total = sum(found)
        rows.append(
            {
                "mAP": measures.average_precision(found, all_relevant=total),
                "MRR": measures.reciprocal_rank(found),
            }
            | {f"precision@{k}": measures.precision_at(found, k) for k in CUTS}
            | {f"recall@{k}": measures.recall_at(found, k, all_relevant=total) for k in CUTS}
            | {f"ndcg@{k}": measures.ndcg(ranking, judged=ranking, k=k) for k in CUTS}
        )
    return rows


def assert_equal(scores: QueryScores, expected: list[dict[str, float]]) -> None:
    """Each measure of each query is the slow one."""
    for name, values in scores.columns().items():
        assert values == pytest.approx([row[name] for row in expected], abs=1e-12), name


@given(seed=st.integers(0, 2**32 - 1), block=st.integers(1, 9), pictures=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_graded_pairs_are_scored_as_defined(seed: int, block: int, pictures: int) -> None:
    """Any grades, ties included, any block: the slow definitions, query by query."""
    random = np.random.default_rng(seed)
    # Few small integers: many ties, and sums that no order of adding changes.
    queries = random.choice([-1.0, 1.0], size=(7, 4))
    gallery = random.choice([-1.0, 1.0], size=(pictures, 4))
    grades = random.integers(0, 6, size=(7, pictures)) * random.integers(0, 2, size=(7, pictures))
    own = random.integers(-1, pictures, size=7).astype(np.int32)
    pairs = [(q, g, int(grades[q, g])) for q, g in zip(*np.nonzero(grades), strict=True)]
    truth = JudgedPairs.of(pairs, queries=7, gallery=pictures, own=own)
    assert_equal(
        score_queries(queries, gallery, truth, block=block), slow(queries, gallery, grades, own)
    )


@given(seed=st.integers(0, 2**32 - 1), block=st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_equal_labels_are_scored_as_defined(seed: int, block: int) -> None:
    """Equal labels are grade 5; means leave out the queries that have nothing to find."""
    random = np.random.default_rng(seed)
    queries, gallery = random.normal(size=(9, 5)), random.normal(size=(30, 5))
    asked, there = random.choice(list("abcdz"), 9), random.choice(list("abcd"), 30)
    equal = asked[:, None] == there[None, :]
    truth = EqualLabels.of(asked.tolist(), there.tolist())
    scores = score_queries(queries, gallery, truth, block=block)
    expected = slow(queries, gallery, 5 * equal, np.full(9, -1))
    assert_equal(scores, expected)
    able = [row for row, can in zip(expected, equal.any(axis=1), strict=True) if can]
    for name, mean in scores.means().items():
        assert mean == pytest.approx(np.mean([row[name] for row in able]) if able else 0), name


def test_ranks_by_cosine_and_skips_hopeless_queries() -> None:
    """Length is nothing, ties keep the gallery's order, a label without a match is left out."""
    gallery = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    queries = np.array([[0.5, 0.1], [0.0, 3.0]])
    scores = score_queries(queries, gallery, EqualLabels.of(["a", "z"], ["b", "a", "a"]))
    assert scores.able.tolist() == [True, False]
    means = scores.means()
    assert means["mAP"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert (means["MRR"], means["precision@1"], means["recall@5"]) == (0.5, 0, 1)


def test_no_block_changes_a_bit() -> None:
    """Blocks of 1, of 3 and of everything give the same numbers in float32."""
    random = np.random.default_rng(1)
    queries = random.normal(size=(20, 32)).astype(np.float32)
    gallery = random.normal(size=(200, 32)).astype(np.float32)
    labels = random.integers(0, 6, 220).astype(str).tolist()
    truth = EqualLabels.of(labels[:20], labels[20:])
    first, *others = (
        score_queries(queries, gallery, truth, block=block).columns() for block in (1, 3, 256)
    )
    for other in others:
        assert all(np.array_equal(first[name], other[name]) for name in first)


def test_a_broken_query_finds_nothing_and_still_counts() -> None:
    """Vectors that are no numbers score 0 and are not left out as if there were nothing to find."""
    gallery = np.eye(3)
    queries = np.array([[np.nan, 0, 0], [1.0, 0, 0]])
    scores = score_queries(queries, gallery, EqualLabels.of(["a", "a"], ["a", "b", "b"]))
    assert scores.average_precision.tolist() == [0, 1]
    assert scores.relevant.tolist() == [1, 1]
    assert scores.means()["ndcg@24"] == 0.5


def test_the_query_itself_is_no_result() -> None:
    """A query in the gallery is ranked as if it were not there, also where it alone is relevant."""
    gallery = np.eye(3)
    labels, own = ["a", "b", "b"], np.arange(3, dtype=np.int32)
    scores = score_queries(gallery, gallery, EqualLabels.of(labels, labels, own))
    assert scores.relevant.tolist() == [0, 1, 1]
    assert scores.average_precision.tolist() == [0, 0.5, 0.5]


def test_of_a_repeated_judgement_the_highest_holds() -> None:
    """Two clicks on one picture are one picture, at its best grade."""
    truth = JudgedPairs.of([(0, 1, 5), (0, 1, 2), (1, 0, 3)], queries=2, gallery=2)
    assert truth.grades(0, 2).tolist() == [[0, 5], [3, 0]]
    assert truth.grades(1, 2).tolist() == [[3, 0]]


@pytest.mark.parametrize(
    "truth",
    [EqualLabels.of([], ["a"]), JudgedPairs.of([], queries=0, gallery=1)],
    ids=["labels", "pairs"],
)
def test_no_queries_are_no_error(truth: Relevance) -> None:
    """Every measure of nothing is 0."""
    scores = score_queries(np.zeros((0, 2)), np.ones((1, 2)), truth)
    assert len(scores) == 0
    assert set(scores.means().values()) == {0.0}


def test_a_truth_about_other_pictures_is_refused() -> None:
    """A mix-up of query and gallery is no measurement."""
    with pytest.raises(ValueError, match="do not fit"):
        score_queries(np.ones((2, 2)), np.ones((3, 2)), EqualLabels.of(["a"] * 3, ["a"] * 2))


def test_some_queries_can_be_looked_at_alone() -> None:
    """A slice has the scores of its queries, by mask or by number."""
    truth = EqualLabels.of(["a", "b"], ["a", "b"])
    scores = score_queries(np.eye(2), np.array([[1.0, 0], [1.0, 1.0]]), truth)
    assert scores.at(np.array([False, True])).means() == scores.at(np.array([1])).means()
    assert len(scores.at(np.array([0]))) == 1
