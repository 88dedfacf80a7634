"""The gate that a training makes of what was clicked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sightline.engine.embedding.projections import Features, Projection, project_all, unit_rows
from sightline.training.datasets.clusters import k_means
from sightline.training.loop.familiar import kept_along_familiar
from sightline.training.loop.gating import CENTROIDS, EACH, UNFAMILIAR, gate_of
from sightline.training.loop.head import Head
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.training import train_head
from tests.learning import world

WIDTH, DIMENSIONS = 20, 12


def clicked(count: int, *, seed: int = 1) -> Features:
    """Features of pictures of a few kinds."""
    random, centres = np.random.default_rng(seed), np.random.default_rng(0).normal(size=(6, WIDTH))
    near = centres[random.integers(0, 6, count)] + 0.3 * random.normal(size=(count, WIDTH))
    return near.astype(np.float32)


@pytest.fixture
def start() -> Projection:
    """The old space."""
    matrix = np.random.default_rng(2).normal(size=(WIDTH, DIMENSIONS)).astype(np.float32)
    return Projection(np.full(WIDTH, 0.1, np.float32), matrix)


@pytest.mark.parametrize("count", [5, 90, 1_500])
def test_a_picture_is_not_familiar_by_itself(start: Projection, count: int) -> None:
    """The middle leaves a twentieth of them below, each by centroids that it has no part in."""
    features = clicked(count)
    gate = gate_of(start, features, seed=3)
    vectors = unit_rows(project_all(start, features))
    which = k_means(vectors, min(CENTROIDS, max(1, count // EACH)), seed=3)
    familiar = []
    for at, own in enumerate(vectors):
        others = np.arange(count) != at
        left = [vectors[others & (which == each)].sum(axis=0) for each in np.unique(which)]
        familiar.append(max(own @ each / max(np.linalg.norm(each), 1e-9) for each in left))
    assert gate.middle == pytest.approx(np.quantile(familiar, UNFAMILIAR), abs=1e-5)
    assert len(gate.centroids) == len(np.unique(which))
    assert np.allclose(np.linalg.norm(gate.centroids, axis=1), 1, atol=1e-5)
    assert np.array_equal(gate.old, start.matrix)


def test_pictures_of_what_was_clicked_pass_and_others_do_not(start: Projection) -> None:
    """Others than those that made it, too."""
    gate = gate_of(start, clicked(600), seed=0)
    new, strange = clicked(200, seed=7), np.random.default_rng(8).normal(size=(200, WIDTH))
    passed, kept = (
        gate.share(project_all(start, each.astype(np.float32))) for each in (new, strange)
    )
    assert (passed > 0.5).mean() > 0.9
    assert np.median(kept) < 0.02


def test_a_single_clicked_picture_makes_a_gate(start: Projection) -> None:
    """There is nothing else that it could be like."""
    gate = gate_of(start, clicked(1), seed=0)
    assert len(gate.centroids) == 1
    assert gate.middle == 0


@pytest.mark.parametrize("familiar", [False, True])
def test_training_puts_a_head_behind_a_gate_where_it_is_asked_to(*, familiar: bool) -> None:
    """The head that the same training gives without, along familiar directions or not."""
    seen = world()
    settings = HeadSettings(steps=4, batch=16, corpus=8, seed=3)
    plain = train_head(seen.pairs, seen.features, seen.start, settings).head
    known = seen.pairs.among(seen.features.images)
    asked = seen.features.features[np.union1d(known.anchor, known.positive)]
    wanted = replace(
        kept_along_familiar(seen.start, plain, asked) if familiar else plain,
        gate=gate_of(seen.start, asked, seed=3),
    )
    how = replace(settings, familiar=familiar, familiarity_gate=True)
    made = train_head(seen.pairs, seen.features, seen.start, how).head
    assert told(made) == told(wanted)


def told(head: Head) -> list[bytes]:
    """All that it does to these pictures, at every strength that is tried."""
    features = world().features.features
    return [head.projection(strength)(features).tobytes() for strength in (0.0, 0.35, 1.0)]
