"""Gains on several draws by set of photos: what is pooled, and what is told to be worse."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.photo_slices import beyond, by_set, pooled, sets_of
from benchmarks.training import Outcome
from tests.drawn_scores import of_precisions

LABELS = np.array([f"{name}/{n}" for name in ("far", "near") for n in range(20) for _ in range(2)])
NEAR = sets_of(LABELS) == "near"


def outcome(gains: np.ndarray[tuple[int], np.dtype[np.float64]], *, odd: bool) -> Outcome:
    """Labels with an odd number were clicked, or the others."""
    numbers = np.array([int(label.partition("/")[2]) for label in LABELS])
    before = np.full(len(LABELS), 0.5)
    return Outcome(
        labels=LABELS,
        clicked=(numbers % 2 == 1) == odd,
        before=of_precisions(before),
        after={0.6: of_precisions(before + gains)},
    )


@pytest.fixture
def draws() -> list[Outcome]:
    """The far photos lose .02 where no label of theirs was clicked, and gain .1 where it was."""
    drawn = []
    for odd in (True, False):
        clicked = outcome(np.zeros(len(LABELS)), odd=odd).clicked
        drawn.append(outcome(np.where(clicked | NEAR, 0.1, -0.02), odd=odd))
    return drawn


def test_a_label_is_one_cluster_over_all_draws(draws: list[Outcome]) -> None:
    """Each was silent in one of two draws, so all of them tell what silent labels gain."""
    found = pooled(draws, 0.6, [~each.clicked for each in draws])
    assert (found.clusters, found.queries) == (40, 80)
    assert found.point == pytest.approx(0.04)
    assert found.lower < found.point < found.upper


def test_sets_are_told_apart(draws: list[Outcome]) -> None:
    """By what stands before the slash, and by whether the label was clicked."""
    points = {name: found.point for name, found in by_set(draws, 0.6).items()}
    assert points == pytest.approx(
        {
            "far, clicked labels": 0.1,
            "far, labels without a click": -0.02,
            "near, clicked labels": 0.1,
            "near, labels without a click": 0.1,
        }
    )


def test_what_is_surely_worse_is_counted(draws: list[Outcome]) -> None:
    """Other photos have a line of their own, and are slices, too; near ones rise and fall."""
    up_and_down = np.where(np.arange(len(LABELS)) // 4 % 2, 0.05, -0.05)
    away = outcome(np.where(NEAR, up_and_down, -0.01), odd=True)
    gained, worse = beyond(draws, {"elsewhere": [away]}, 0.6, {"elsewhere": 0.02})
    assert gained.value == pytest.approx(-0.005)
    assert worse.value == 3
    assert not gained.met
    assert not worse.met
    assert "far, labels without a click -0.0200 [-0.020, -0.020] by 20 labels" in worse.detail
