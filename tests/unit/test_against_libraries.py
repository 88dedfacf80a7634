"""Our loss and our measures against other people's: pytorch-metric-learning and scikit-learn.

Their imports take most of the time here, two seconds each, so that they wait for the tests; they
are no dependency of what we ship.
"""

# ruff: noqa: PLC0415 - each worker of a run would import them, to collect its tests

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from sightline.training.evaluation.relevance import RELEVANT_GRADE, JudgedPairs
from sightline.training.evaluation.retrieval import CUTS, QueryScores, score_queries
from sightline.training.losses.info_nce import info_nce

ANCHORS, CANDIDATES, QUERIES, GALLERY = 6, 11, 12, 40


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_the_loss_and_its_gradients_are_nt_xent_s(temperature: float) -> None:
    """With each anchor's positive and unmasked negatives as its pairs, weighted by anchor.

    NT-Xent (SimCLR) over given pairs is InfoNCE: -log of e^(s+ / t) over itself plus the sum of
    e^(s / t) over the anchor's negatives; theirs comes one number a positive pair.
    """
    from pytorch_metric_learning.losses import NTXentLoss
    from pytorch_metric_learning.reducers import DoNothingReducer

    drawn = torch.Generator().manual_seed(4)
    raw = torch.randn(ANCHORS + CANDIDATES, 5, generator=drawn, dtype=torch.float64)
    masked = torch.rand(ANCHORS, CANDIDATES, generator=drawn) < 0.3
    positive = torch.tensor([2, 0, 7, 7, 10, 5])
    weight = torch.rand(ANCHORS, generator=drawn, dtype=torch.float64) + 0.1

    def ours(rows: Tensor) -> Tensor:
        unit = normalize(rows)
        return info_nce(
            unit[:ANCHORS],
            unit[ANCHORS:],
            positive=positive,
            masked=masked,
            weight=weight,
            temperature=temperature,
        )

    def theirs(rows: Tensor) -> Tensor:
        open_ = ~masked.scatter(1, positive[:, None], value=True)
        pairs = (torch.arange(ANCHORS), positive, *open_.nonzero(as_tuple=True))
        loss = NTXentLoss(temperature=temperature, reducer=DoNothingReducer())
        found = loss(rows[:ANCHORS], indices_tuple=pairs, ref_emb=rows[ANCHORS:], ref_labels=None)
        each: Tensor = found["loss"]["losses"]
        return (weight * each).sum() / weight.sum()

    values, gradients = [], []
    for loss in (ours, theirs):
        rows = raw.clone().requires_grad_()
        value = loss(rows)
        (gradient,) = torch.autograd.grad(value, rows)
        values.append(float(value.detach()))
        gradients.append(gradient)
    assert values[0] == pytest.approx(values[1], rel=1e-9)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-6, atol=1e-12)


def drawn() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Unit vectors of queries and gallery, no two similarities equal, and grades 0-5.

    Ties are left to `test_retrieval.py`: libraries break them in other ways than by order.
    """
    random = np.random.default_rng(2)
    rows = [random.normal(size=(count, 6)) for count in (QUERIES, GALLERY)]
    queries, gallery = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in rows)
    shape = (QUERIES, GALLERY)
    grades = random.integers(0, 6, shape) * random.integers(0, 2, shape)
    grades[:, 0] = 5
    return queries, gallery, grades


VECTORS, PICTURES, GRADES = drawn()
SIMILAR, RELEVANT = VECTORS @ PICTURES.T, GRADES >= RELEVANT_GRADE


@pytest.fixture(scope="module")
def ours() -> QueryScores:
    """Our measures, in blocks of five queries."""
    pairs = [(q, g, int(GRADES[q, g])) for q, g in zip(*np.nonzero(GRADES), strict=True)]
    truth = JudgedPairs.of(pairs, queries=QUERIES, gallery=GALLERY)
    return score_queries(VECTORS, PICTURES, truth, block=5)


def test_average_precision_and_reciprocal_rank(ours: QueryScores) -> None:
    """AP is the step-wise area under precision; MRR the label ranking precision of the best one."""
    from sklearn.metrics import average_precision_score, label_ranking_average_precision_score

    precision = [average_precision_score(r, s) for r, s in zip(RELEVANT, SIMILAR, strict=True)]
    assert ours.average_precision == pytest.approx(precision, abs=1e-12)
    best = np.eye(GALLERY, dtype=int)[np.where(RELEVANT, SIMILAR, -np.inf).argmax(axis=1)]
    ranked = [
        label_ranking_average_precision_score(best[[q]], SIMILAR[[q]]) for q in range(QUERIES)
    ]
    assert ours.reciprocal_rank == pytest.approx(ranked, abs=1e-12)


@pytest.mark.parametrize("cut", CUTS)
def test_measures_at_a_cut(ours: QueryScores, cut: int) -> None:
    """The nDCG of graded relevance, and precision and recall of the pictures above the cut."""
    from sklearn.metrics import ndcg_score, precision_score, recall_score

    for query, (similar, relevant) in enumerate(zip(SIMILAR, RELEVANT, strict=True)):
        graded = ndcg_score(GRADES[[query]], similar[None], k=cut, ignore_ties=True)
        assert ours.ndcg[cut][query] == pytest.approx(graded, abs=1e-12)
        shown = similar >= np.sort(similar)[-cut]
        assert ours.precision[cut][query] == pytest.approx(precision_score(relevant, shown))
        assert ours.recall[cut][query] == pytest.approx(recall_score(relevant, shown))
