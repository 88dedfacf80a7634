"""Matrices on the query in the bucket: computed by one, read by all, never used where they lie."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sightline.engine.embedding.query_matrix import matrix_between
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.serving.kept_matrices import KeptMatrices, KeptMatrix
from sightline.engine.serving.values import Serves
from tests.generation_parts import BUCKET, CLICKS, INDEX, Deployment, TwoModels
from tests.integration.test_api_query_matrix import BY_MATRIX, NEW, OLD

OTHER = CLICKS.replace("a", "b")
ROWS = np.random.default_rng(1).normal(size=(6, 6)).astype(np.float32)


def kept() -> tuple[MemoryObjectStore, KeptMatrices]:
    """One matrix of a generation is there."""
    store = MemoryObjectStore(BUCKET)
    matrices = KeptMatrices(store, BUCKET, INDEX)
    matrices.keep("g1", "old", CLICKS, KeptMatrix(ROWS, "new"))
    return store, matrices


def test_what_is_kept_is_found_to_the_bit() -> None:
    """For the same vectors and the same model alone."""
    _, matrices = kept()
    found = matrices.find("g1", "old", CLICKS)
    assert found is not None
    assert found.ranked_by == "new"
    assert np.array_equal(found.matrix, ROWS)
    for others in (("g2", "old", CLICKS), ("g1", "of fp32", CLICKS), ("g1", "old", OTHER)):
        assert matrices.find(*others) is None


def test_what_is_damaged_is_as_if_it_were_not_there() -> None:
    """A changed number, a missing row, another format, nothing at all."""
    store, matrices = kept()
    (key,) = (found.key for found in store.list(BUCKET, "serving/"))
    data = store.get(BUCKET, key)
    for damaged in (
        data[:-1] + b"\x00",
        data[:-24],
        data.replace(b'"format":1', b'"format":2'),
        b"",
    ):
        store.put(BUCKET, key, damaged)
        assert matrices.find("g1", "old", CLICKS) is None
    store.put(BUCKET, key, data)
    assert matrices.find("g1", "old", CLICKS) is not None


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_matrix_that_gives_no_query_is_as_if_it_were_not_there(odd: float) -> None:
    """Its sum is right: somebody wrote it so; each search would end on it."""
    _, matrices = kept()
    matrices.keep("g1", "old", CLICKS, KeptMatrix(ROWS * np.float32(odd), "new"))
    assert matrices.find("g1", "old", CLICKS) is None


def test_a_matrix_of_other_dimensions_is_computed_anew() -> None:
    """It cannot be put on the queries of this generation."""
    place = Deployment(TwoModels(OLD, NEW))
    place.switch(BY_MATRIX)
    state = place.record.read().state
    right = place.serving.open_pair(state, BY_MATRIX).pair.matrix
    assert right is not None
    (found,) = [one for one in place.store.list(BUCKET, "serving/") if "/matrix/" in one.key]
    head = json.loads(place.store.get(BUCKET, found.key).partition(b"\n")[0])
    matrices = KeptMatrices(place.store, BUCKET, found.key.split("/")[1])
    wrong = KeptMatrix(np.eye(len(right) - 1, dtype=np.float32), head["ranked_by"])
    matrices.keep(state.serves.generation, head["made_by"], CLICKS, wrong)
    again = place.serving.open_pair(state, BY_MATRIX).pair.matrix
    assert again is not None
    assert np.array_equal(again, right)


def test_a_generation_takes_its_own_with_it() -> None:
    """And no other one's."""
    store, matrices = kept()
    matrices.keep("g12", "old", CLICKS, KeptMatrix(ROWS, "new"))
    for _ in range(2):
        matrices.forget("g1")
    assert [found.key.split("/")[2] for found in store.list(BUCKET, "serving/")] == ["g12"]


def test_it_is_computed_once_in_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes next, or comes back to it, only reads it, and opens no model."""
    place = Deployment(TwoModels(OLD, NEW))
    computed = []

    def counted(*models: Any) -> object:
        computed.append(models)
        return matrix_between(*models)

    monkeypatch.setattr("sightline.engine.connecting.index_and_model.matrix_between", counted)
    place.switch(BY_MATRIX)
    state = place.record.read().state
    first = place.serving.open_pair(state, BY_MATRIX)
    del place.models.of[CLICKS]
    again = place.serving.open_pair(state, BY_MATRIX)
    assert len(computed) == 1
    assert first.pair.matrix is not None
    assert again.pair.matrix is not None
    assert np.array_equal(first.pair.matrix, again.pair.matrix)
    assert again.pair.model_digest == "new"
    for opened in (first, again):
        opened.close()
    assert place.serving.open_pair(state, Serves(generation="g1")).pair.matrix is None
    place.serving.pairs.close()
