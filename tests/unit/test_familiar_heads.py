"""A head along familiar directions: what it changes, and what it leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sightline.engine.embedding.projections import Projection
from sightline.training.loop.familiar import familiarity, kept_along_familiar
from sightline.training.loop.head import Head
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.training import train_head
from tests.learning import world

WIDTH = 12


def varied(spread: dict[int, float], count: int = 400) -> np.ndarray:
    """Features that vary in some directions only, (count, WIDTH)."""
    scale = np.zeros(WIDTH)
    scale[list(spread)] = list(spread.values())
    drawn = np.random.default_rng(1).normal(size=(count, WIDTH))
    return (drawn * scale).astype(np.float32)


def test_nothing_changes_along_directions_in_which_no_clicked_picture_varies() -> None:
    """Along the others it does, the more the more they vary: at any strength, whitening too."""
    random = np.random.default_rng(2)
    start = Projection(
        random.normal(size=WIDTH).astype(np.float32), np.eye(WIDTH, 4, dtype=np.float32)
    )
    base, change = (random.normal(size=(WIDTH, 4)).astype(np.float32) for _ in range(2))
    head = Head(mean=start.mean, base=base, change=change)
    kept = kept_along_familiar(start, head, start.mean + varied({1: 1.0, 2: 10.0}))
    for strength in (0.0, 1.0):
        asked = head.ungated(strength).matrix - start.matrix
        made = kept.ungated(strength).matrix - start.matrix
        moved = np.linalg.norm(made, axis=1) / np.linalg.norm(asked, axis=1)
        assert moved[2] > 0.9
        assert 0.05 < moved[1] < 0.3
        assert np.delete(moved, [1, 2]).max() < 0.02


def test_it_is_the_least_squares_of_two_wishes() -> None:
    """To be one on pictures, and none on noise as large as they: no other map errs less."""
    pictures = varied({0: 1.0, 1: 2.0, 5: 3.0})
    moments = pictures.T @ pictures / len(pictures)
    noise = np.trace(moments) / WIDTH

    def error(map_: np.ndarray) -> float:
        missed = pictures @ (map_ - np.eye(WIDTH))
        return float((missed**2).sum() / len(pictures) + noise * (map_**2).sum())

    best = familiarity(pictures)
    random = np.random.default_rng(3)
    for _ in range(20):
        assert error(best) < error(best + random.normal(size=best.shape) * 0.01)


def test_training_keeps_a_head_along_familiar_directions_where_it_is_asked_to() -> None:
    """It is what is made of the head that the same training gives without."""
    seen = world()
    settings = HeadSettings(steps=4, batch=16, corpus=8)
    plain = train_head(seen.pairs, seen.features, seen.start, settings).head
    asked = replace(settings, familiar=True)
    made = train_head(seen.pairs, seen.features, seen.start, asked).head
    known = seen.pairs.among(seen.features.images)
    clicked = seen.features.features[np.union1d(known.anchor, known.positive)]
    wanted = kept_along_familiar(seen.start, plain, clicked)
    assert np.array_equal(made.base, wanted.base)
    assert np.array_equal(made.change, wanted.change)
    assert not np.allclose(made.change, plain.change)
