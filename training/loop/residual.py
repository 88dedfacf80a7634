"""What is learnt on top of a base's vectors: a linear residual, or one with hidden layers.

Depth 0 is v + v A. Deeper it is u + f(... f(u W₁) ...) W / √d of the unit vector u, d numbers in
each layer and no biases, so that a vector's length says nothing, as to the linear one.

An embedder applies one matrix. So what is kept of a deep residual is the linear map nearest to it
on the pictures of the training: a simpler model that is fitted to what another says, as in
G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import gelu, normalize, relu

from sightline.training.loop.settings import Activation, HeadSettings

Floats = NDArray[np.float32]
_ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "gelu": gelu,
    "tanh": torch.tanh,
}
_HIDDEN = 1
"""Beside the seed, so that hidden layers are drawn as no batch is."""
_RIDGE = 1e-3
"""A part of a direction's mean variance that bounds what pictures which vary in few can do."""
_BLOCK = 8_192
"""Pictures that are looked at at a time."""


def untrained(settings: HeadSettings, dimensions: int) -> Floats:
    """The weights that change nothing yet, (depth + 1, d, d): the last layer is 0, others drawn."""
    random = np.random.default_rng((settings.seed, _HIDDEN, settings.depth))
    weights = random.normal(size=(settings.depth + 1, dimensions, dimensions))
    weights[1:] *= math.sqrt(2 / dimensions)
    weights[-1] = 0
    return weights.astype(np.float32)


def moved(vectors: Tensor, weights: Tensor, activation: Activation) -> Tensor:
    """(n, d) vectors with their residual, not normalised."""
    if len(weights) == 1:
        return vectors + vectors @ weights[0]
    unit = normalize(vectors)
    return unit + _deep(unit, weights, activation)


def nearest_linear(vectors: Floats, weights: Floats, activation: Activation) -> Floats:
    """The linear residual that differs least from a deep one on these vectors, by ridge regression.

    Args:
        vectors: (n, d) of pictures, n at least 1.
        weights: (layers, d, d); a single layer is returned as it is.
        activation: of the hidden layers.

    Returns:
        (d, d).
    """
    if len(weights) == 1:
        return np.asarray(weights[0])
    dimensions = vectors.shape[1]
    moments, wanted = np.zeros((2, dimensions, dimensions))
    for first in range(0, len(vectors), _BLOCK):
        unit = normalize(torch.from_numpy(vectors[first : first + _BLOCK]))
        residual = _deep(unit, torch.from_numpy(weights), activation)
        known = unit.numpy().astype(np.float64)
        moments += known.T @ known
        wanted += known.T @ residual.numpy()
    ridge = np.eye(dimensions) * _RIDGE * np.trace(moments) / dimensions
    linear: Floats = np.linalg.solve(moments + ridge, wanted).astype(np.float32)
    return linear


def _deep(unit: Tensor, weights: Tensor, activation: Activation) -> Tensor:
    *hidden, last = weights
    layer = unit
    for each in hidden:
        layer = _ACTIVATIONS[activation](layer @ each)
    residual: Tensor = layer @ last / math.sqrt(unit.shape[1])
    return residual
