"""A residual with hidden layers: what it does to vectors, and the linear map that is kept of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch

from sightline.training.loop.residual import moved, nearest_linear, untrained
from sightline.training.loop.settings import Activation, HeadSettings

WIDTH = 6
VECTORS = np.random.default_rng(1).normal(size=(200, WIDTH)).astype(np.float32)
DEPTHS = (0, 1, 2)


def drawn(depth: int) -> np.ndarray:
    """Weights in all layers."""
    weights = untrained(HeadSettings(depth=depth), WIDTH)
    weights[-1] = np.random.default_rng(2).normal(size=(WIDTH, WIDTH))
    return weights


def changed(vectors: np.ndarray, weights: np.ndarray, name: Activation = "gelu") -> np.ndarray:
    """The vectors with their residual."""
    return np.asarray(moved(torch.from_numpy(vectors), torch.from_numpy(weights), name))


def directions(vectors: np.ndarray) -> np.ndarray:
    """The same with norm 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("depth", DEPTHS)
def test_nothing_is_changed_before_the_first_step(depth: int) -> None:
    """Every vector keeps its direction; hidden layers are those of the seed."""
    weights = untrained(HeadSettings(depth=depth), WIDTH)
    assert weights.shape == (depth + 1, WIDTH, WIDTH)
    assert np.allclose(directions(changed(VECTORS, weights)), directions(VECTORS), atol=1e-6)
    assert np.array_equal(weights, untrained(HeadSettings(depth=depth), WIDTH))
    other = untrained(HeadSettings(depth=depth, seed=1), WIDTH)
    assert np.array_equal(weights, other) == (depth == 0)


@pytest.mark.parametrize("name", get_args(Activation))
def test_hidden_layers_are_those_of_their_activation(name: Activation) -> None:
    """By hand, of one vector, whatever its length."""
    functions: dict[str, Callable[[float], float]] = {
        "relu": lambda x: max(x, 0.0),
        "tanh": math.tanh,
        "gelu": lambda x: x * (1 + math.erf(x / 2**0.5)) / 2,
    }
    first, second, last = drawn(2).astype(np.float64)
    vector = directions(VECTORS[:1].astype(np.float64))[0]
    layer = vector
    for each in (first, second):
        layer = np.array([functions[name](x) for x in layer @ each])
    expected = vector + layer @ last / WIDTH**0.5
    assert changed(7 * VECTORS[:1], drawn(2), name)[0] == pytest.approx(expected, abs=1e-5)


def test_a_linear_residual_is_kept_as_it_is() -> None:
    """Bit for bit, and it moves vectors by itself alone.

    Torch and numpy add in orders of their own, which differ on some processors.
    """
    weights = drawn(0)
    assert np.array_equal(nearest_linear(VECTORS, weights, "gelu"), weights[0])
    assert np.allclose(changed(VECTORS, weights), VECTORS + VECTORS @ weights[0], atol=1e-5)


@pytest.mark.parametrize("depth", DEPTHS[1:])
@pytest.mark.parametrize("name", get_args(Activation))
def test_no_linear_map_is_nearer_to_a_deep_residual(depth: int, name: Activation) -> None:
    """On unit vectors, but for the ridge, which is a thousandth of their variance."""
    weights = drawn(depth)
    unit = directions(VECTORS)
    wanted = changed(VECTORS, weights, name) - unit
    best = nearest_linear(VECTORS, weights, name)
    exact, *_ = np.linalg.lstsq(unit, wanted, rcond=None)
    assert np.allclose(best, exact, atol=3e-3 * np.abs(exact).max())
    assert not np.allclose(wanted, unit @ best, atol=1e-3)


def test_directions_in_which_no_picture_varies_are_left_alone() -> None:
    """The ridge answers where least squares have no answer."""
    flat = VECTORS.copy()
    flat[:, 0] = 0
    best = nearest_linear(flat, drawn(1), "gelu")
    assert np.isfinite(best).all()
    assert not best[0].any()
