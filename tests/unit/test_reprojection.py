"""A new projection over what is kept: the vectors that the new model would have made."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.engine.embedding.projections import (
    AnyProjection,
    FamiliarityGate,
    Features,
    GatedProjection,
    Projection,
    unit_rows,
)
from sightline.engine.embedding.reprojection import reproject
from sightline.engine.vector_index.packed_features import Packing

COUNT, DIMENSIONS = 40, 12


def drawn(rows: int, *, gate: bool = False) -> tuple[Features, AnyProjection]:
    """Features of pictures, and a projection of them, behind a gate or not."""
    random = np.random.default_rng(3)
    features = random.gamma(0.5, size=(rows, COUNT)).astype(np.float32)
    mean = np.full(COUNT, 0.5, np.float32)
    matrix = random.normal(size=(COUNT, DIMENSIONS)).astype(np.float32)
    if not gate:
        return features, Projection(mean, matrix)
    centroids = unit_rows(random.normal(size=(6, DIMENSIONS)).astype(np.float32))
    familiar = FamiliarityGate(matrix, centroids, 20.0, 0.4)
    change = 0.1 * random.normal(size=matrix.shape).astype(np.float32)
    return features, GatedProjection(mean, change, familiar)


@pytest.mark.parametrize(("bits", "nearest"), [(16, 0.999999), (8, 0.9998), (4, 0.95)])
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 5_000])
def test_vectors_are_those_of_the_new_model(
    bits: int, nearest: float, rows: int, *, gate: bool
) -> None:
    """As near as the bits that were kept, over several blocks."""
    (features, projection), packing = drawn(rows, gate=gate), Packing(COUNT, bits)
    vectors = reproject(packing.pack(features), packing, projection)
    assert vectors.shape == (rows, DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors * unit_rows(projection(features))).sum(axis=1).min() > nearest


def test_rows_with_negative_features_are_projected_as_well() -> None:
    """They lie among others, with codes that mean something else."""
    (features, projection), packing = drawn(60), Packing(COUNT, 16)
    features[::3] -= 0.4
    vectors = reproject(packing.pack(features), packing, projection)
    assert (vectors * unit_rows(projection(features))).sum(axis=1).min() > 0.999999


def test_a_model_without_a_projection_has_its_features_as_vectors() -> None:
    """As its embedder does."""
    (features, _), packing = drawn(9), Packing(COUNT, 16)
    vectors = reproject(packing.pack(features), packing, None)
    assert np.abs(vectors - unit_rows(features)).max() < 1e-4


def test_no_rows_no_vectors() -> None:
    """An empty batch gives an empty one, of the new width."""
    (features, projection), packing = drawn(0), Packing(COUNT, 8)
    assert reproject(packing.pack(features), packing, projection).shape == (0, DIMENSIONS)


def test_a_projection_of_another_network_is_refused() -> None:
    """Its numbers would mean nothing."""
    (features, projection), packing = drawn(2), Packing(COUNT, 8)
    other = Projection(projection.mean[:-1], projection.columns[:-1])
    with pytest.raises(ValueError, match="39 features, not 40"):
        reproject(packing.pack(features), packing, other)
