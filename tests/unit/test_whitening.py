"""Relevant component analysis: against the definition, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.engine.embedding.projections import Projection
from sightline.training.loop import whitening
from sightline.training.loop.whitening import scatter, whitened

DRAWN = np.random.default_rng(5)
START = Projection(np.zeros(6, np.float32), DRAWN.normal(size=(6, 3)).astype(np.float32))
VECTORS = (DRAWN.normal(size=(40, 6)).astype(np.float32) @ START.matrix).astype(np.float32)
ANCHOR, POSITIVE = DRAWN.integers(0, 40, 30), DRAWN.integers(0, 40, 30)
WEIGHT = DRAWN.uniform(0.1, 1, 30).astype(np.float32)


def test_the_scatter_is_the_weighted_mean_of_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pair by pair, in blocks of seven that do not divide thirty."""
    monkeypatch.setattr(whitening, "_BLOCK", 7)
    expected = sum(
        w * np.outer(VECTORS[a] - VECTORS[p], VECTORS[a] - VECTORS[p])
        for a, p, w in zip(ANCHOR, POSITIVE, WEIGHT, strict=True)
    )
    found = scatter(VECTORS, ANCHOR, POSITIVE, WEIGHT)
    assert np.allclose(found, expected / WEIGHT.sum(), rtol=1e-5)


def test_what_comes_out_is_the_closed_form() -> None:
    """M (S + mean v)^-1/2, by a matrix square root of another kind, at M's norm."""
    covariance = scatter(VECTORS, ANCHOR, POSITIVE, WEIGHT)
    inside = covariance + np.eye(3) * np.trace(covariance) / 3
    left, values, right = np.linalg.svd(np.linalg.inv(inside))
    expected = START.matrix @ (left * np.sqrt(values)) @ right
    expected *= np.linalg.norm(START.matrix) / np.linalg.norm(expected)
    assert np.allclose(whitened(START, VECTORS, ANCHOR, POSITIVE, WEIGHT), expected, rtol=1e-4)


def test_a_direction_in_which_clicked_pairs_differ_is_shrunk() -> None:
    """Pairs that differ in the first direction alone: it is divided by root two and no more."""
    identity = Projection(np.zeros(2, np.float32), np.eye(2, dtype=np.float32))
    vectors = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    found = whitened(identity, vectors, np.array([0, 2]), np.array([1, 3]), np.ones(2, np.float32))
    assert found[0, 0] / found[1, 1] == pytest.approx((0.5 / 1.5) ** 0.5)
    assert np.linalg.norm(found) == pytest.approx(2**0.5)


def test_pairs_of_equal_pictures_change_nothing() -> None:
    """There is nothing to learn from them, and no division by nothing."""
    same = np.arange(10)
    found = whitened(START, VECTORS, same, same, np.ones(10, np.float32))
    assert np.array_equal(found, START.matrix)
