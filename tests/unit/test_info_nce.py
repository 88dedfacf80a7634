"""The loss: against a slow oracle that follows the formula, and what masks do."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sightline.training.losses.info_nce import info_nce, with_hardest


def slow_loss(
    *,
    anchors: Tensor,
    candidates: Tensor,
    positive: Tensor,
    masked: Tensor,
    weight: Tensor,
    temperature: float,
) -> float:
    """Term by term: -log(e^(s+ / t) / sum e^(s / t)) over what is not masked, weighted."""
    total = 0.0
    for row, target in enumerate(positive.tolist()):
        shares = {
            column: math.exp(float(anchors[row] @ candidates[column]) / temperature)
            for column in range(len(candidates))
            if column == target or not bool(masked[row, column])
        }
        total -= float(weight[row]) * math.log(shares[target] / sum(shares.values()))
    return total / float(weight.sum())


@pytest.fixture
def batch() -> dict[str, Tensor]:
    """Five anchors, nine candidates in double precision, some masked, positives among them."""
    drawn = torch.Generator().manual_seed(3)
    return {
        "anchors": normalize(torch.randn(5, 4, generator=drawn, dtype=torch.float64)),
        "candidates": normalize(torch.randn(9, 4, generator=drawn, dtype=torch.float64)),
        "positive": torch.tensor([0, 3, 3, 8, 1]),
        "masked": torch.rand(5, 9, generator=drawn) < 0.4,
        "weight": torch.rand(5, generator=drawn, dtype=torch.float64) + 0.1,
    }


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_the_loss_is_the_formula_s(batch: dict[str, Tensor], temperature: float) -> None:
    """Also where the mask names the positive, which counts all the same."""
    assert bool(batch["masked"].gather(1, batch["positive"][:, None]).any())
    found = info_nce(**batch, temperature=temperature)
    expected = slow_loss(**batch, temperature=temperature)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_a_masked_candidate_repels_nobody(batch: dict[str, Tensor]) -> None:
    """Its gradient is none; without the mask it has one."""
    batch["masked"][:] = False
    batch["masked"][:, 5] = True
    candidates = batch["candidates"].requires_grad_()
    info_nce(**batch, temperature=0.1).backward()  # type: ignore[no-untyped-call]
    assert candidates.grad is not None
    pulled = candidates.grad.abs().sum(dim=1) > 0
    assert pulled.tolist() == [column != 5 for column in range(9)]


def test_with_every_negative_masked_the_loss_is_nothing(batch: dict[str, Tensor]) -> None:
    """Not NaN: the positive is still among the candidates."""
    batch["masked"][:] = True
    assert float(info_nce(**batch, temperature=0.1)) == 0.0


def test_the_hardest_few_are_left_out(batch: dict[str, Tensor]) -> None:
    """The two most similar of what is open, and never the positive."""
    similarities = batch["anchors"] @ batch["candidates"].T
    masked, positive = batch["masked"], batch["positive"]
    found = with_hardest(similarities, positive=positive, masked=masked, count=2).numpy()
    for row, target in enumerate(positive.tolist()):
        open_ = [c for c in range(9) if not masked[row, c] and c != target]
        hardest = sorted(open_, key=lambda c: -float(similarities[row, c]))[:2]
        kept = set(open_) - set(hardest) | {target}
        assert set(np.flatnonzero(~found[row])) == kept


def test_more_than_there_are_may_be_left_out(batch: dict[str, Tensor]) -> None:
    """Then only the positive is left, and the loss is nothing."""
    similarities = batch["anchors"] @ batch["candidates"].T
    batch["masked"] = with_hardest(
        similarities, positive=batch["positive"], masked=batch["masked"], count=50
    )
    assert (~batch["masked"]).sum(dim=1).tolist() == [1] * 5
    assert float(info_nce(**batch, temperature=0.1)) == 0.0
