"""The matrix on the query, against the definition of the new model's similarity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from sightline.engine.embedding.projections import AnyProjection, Features, Projection
from sightline.engine.embedding.query_matrix import (
    MAX_SPREAD,
    NotLinear,
    QueryMatrix,
    matrix_between,
    query_matrix,
)
from sightline.engine.serving.pair import ServingPair
from tests.unit.test_familiarity_gate import drawn

WIDTH, DIMENSIONS, PICTURES = 40, 12, 60
GATED, _ = drawn()


def unit(vectors: Features) -> Features:
    """Rows of norm 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.fixture
def random() -> np.random.Generator:
    """The same numbers each time."""
    return np.random.default_rng(4)


@pytest.fixture
def old(random: np.random.Generator) -> Projection:
    """Made the vectors of the index."""
    matrix = random.normal(size=(WIDTH, DIMENSIONS)).astype(np.float32)
    return Projection(random.random(WIDTH).astype(np.float32), matrix)


@pytest.fixture
def features(random: np.random.Generator) -> Features:
    """What a network saw, all of it above 0."""
    return random.random((PICTURES, WIDTH)).astype(np.float32)


def turned(old: Projection, head: np.ndarray) -> Projection:
    """The model whose vectors are the old ones times the head, rounded to fp32 as a file is."""
    matrix = old.matrix.astype(np.float64) @ head
    return replace(old, matrix=matrix.astype(np.float32))


@pytest.mark.parametrize("dimensions", [DIMENSIONS, 20])
def test_it_ranks_by_the_new_similarity_times_the_length_of_what_is_found(
    old: Projection, features: Features, random: np.random.Generator, dimensions: int
) -> None:
    """For each query, up to one factor of its own; of new models of any width."""
    head = np.eye(DIMENSIONS, dimensions) + 0.1 * random.normal(size=(DIMENSIONS, dimensions))
    new = turned(old, head)
    found = query_matrix(old, new)
    assert isinstance(found, QueryMatrix)
    assert found.matrix.dtype == np.float32
    assert found.residual < 1e-6
    before, after = unit(old(features)), unit(new(features))
    scores = before @ found.matrix @ before.T
    lengths = np.linalg.norm(before @ head, axis=1)
    wanted = (after @ after.T) * lengths  # column by column: of what is found
    factors = np.diag(scores) / np.diag(wanted)
    assert (factors > 0).all()
    assert np.allclose(scores, factors[:, None] * wanted, atol=1e-6)


def test_it_is_symmetric_and_of_norm_one(old: Projection, random: np.random.Generator) -> None:
    """However large or small the new head's numbers are: only its directions rank."""
    head = np.eye(DIMENSIONS) + 0.1 * random.normal(size=(DIMENSIONS, DIMENSIONS))
    for size in (1e-12, 1.0, 1e12):
        found = query_matrix(old, turned(old, size * head))
        assert isinstance(found, QueryMatrix)
        assert np.array_equal(found.matrix, found.matrix.T)
        values = np.linalg.eigvalsh(found.matrix.astype(np.float64))
        assert 0 < values[0] < values[-1] < MAX_SPREAD * values[0]
        assert np.linalg.norm(found.matrix) == pytest.approx(1.0, rel=1e-6)


def test_the_old_model_itself_turns_nothing(old: Projection) -> None:
    """Its own matrix is a multiple of the identity."""
    found = query_matrix(old, old)
    assert isinstance(found, QueryMatrix)
    assert np.allclose(found.matrix, np.eye(DIMENSIONS) / DIMENSIONS**0.5, atol=1e-6)


def test_a_head_that_goes_too_far_needs_vectors_of_its_own(old: Projection) -> None:
    """One that weighs directions too differently, or drops some: the old graph is not for it."""
    for largest, found_as in ((9.9, QueryMatrix), (10.1, NotLinear)):
        head = np.diag(np.linspace(1.0, largest, DIMENSIONS))
        assert isinstance(query_matrix(old, turned(old, head)), found_as)
    fewer = query_matrix(old, turned(old, np.eye(DIMENSIONS, 7)))
    assert isinstance(fewer, NotLinear)
    assert "100 times" in fewer.reason


def test_columns_that_depend_are_no_trouble(old: Projection) -> None:
    """What lies in a direction that the old model has lost cannot be served."""
    flat = replace(old, matrix=old.matrix.copy())
    flat.matrix[:, -1] = flat.matrix[:, 0]
    found = query_matrix(flat, old)
    assert isinstance(found, NotLinear)
    assert "outside the space" in found.reason


def test_a_model_that_needs_other_vectors_says_why(
    old: Projection, random: np.random.Generator
) -> None:
    """Trained anew, centred elsewhere, over other features, or broken."""
    anew = random.normal(size=old.matrix.shape).astype(np.float32)
    slightly = old.matrix + 1e-4 * anew
    wider = Projection(np.zeros(WIDTH + 1, np.float32), np.ones((WIDTH + 1, 3), np.float32))
    broken = old.matrix.copy()
    broken[0, 0] = np.nan
    for new, reason in (
        (replace(old, matrix=anew), "outside the space"),
        (replace(old, matrix=slightly), "outside the space"),
        (replace(old, mean=old.mean + 1), "centres"),
        (wider, "41 features, and the index 40"),
        (replace(old, matrix=np.zeros_like(old.matrix)), "zero"),
        (replace(old, matrix=broken), "not finite"),
    ):
        found = query_matrix(old, new)
        assert isinstance(found, NotLinear)
        assert reason in found.reason
    indexed = matrix_between(Model(GATED), Model(old))
    assert isinstance(indexed, NotLinear)
    assert "that are indexed lie behind a familiarity gate" in indexed.reason


def test_a_pair_tells_the_new_models_own_cosines(
    old: Projection, features: Features, random: np.random.Generator
) -> None:
    """Of vectors that the old model made; bit by bit the same for equal vectors, wherever."""
    head = np.eye(DIMENSIONS) + 0.1 * random.normal(size=(DIMENSIONS, DIMENSIONS))
    found = query_matrix(old, turned(old, head))
    assert isinstance(found, QueryMatrix)
    parts: dict[str, Any] = {"embedder": None, "index": None, "spec": None}
    pair = ServingPair(**parts, matrix=found.matrix)
    before, after = unit(old(features)), unit(turned(old, head)(features))
    told = np.stack([pair.cosines(query, list(before)) for query in before])
    assert told.dtype == np.float32
    assert np.allclose(told, after @ after.T, atol=1e-5)
    assert np.allclose(ServingPair(**parts).cosines(before[0], list(before)), before @ before[0])
    twice = pair.cosines(before[0], [before[5], *before[1:], before[5]])
    assert twice[0] == twice[-1]


@dataclass
class Model:
    """What is asked of a model."""

    projection: AnyProjection | None
    features_digest: str = "lite0"
    digest: str = "lite0 and a head"


def test_models_of_one_network_are_compared(old: Projection) -> None:
    """Others look at pictures differently; one without a projection has nothing to compare."""
    assert isinstance(matrix_between(Model(old), Model(old)), QueryMatrix)
    for new, reason in (
        (Model(old, "other"), "another network"),
        (Model(None), "no projection"),
        (Model(GATED), "behind its familiarity gate"),
    ):
        found = matrix_between(Model(old), new)
        assert isinstance(found, NotLinear)
        assert reason in found.reason
    indexed = matrix_between(Model(GATED), Model(old))
    assert isinstance(indexed, NotLinear)
    assert "that are indexed lie behind a familiarity gate" in indexed.reason
