"""Draws of the silent labels by themselves: what each reaches, and in how many of them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.familiar_draws import Said, counted, each_told
from benchmarks.training import Outcome
from tests.drawn_scores import of_precisions

LABELS = np.array([f"{name}/{n}" for name in ("few", "many") for n in range(30) for _ in range(2)])
LABELS = LABELS[np.char.startswith(LABELS, "many") | np.isin(LABELS, ["few/0", "few/1"])]
NUMBERS = np.array([int(label.partition("/")[2]) for label in LABELS])
FEW, CLICKED = np.char.startswith(LABELS, "few"), NUMBERS % 2 == 0


def outcome(gains: np.ndarray, clicked: np.ndarray) -> Outcome:
    """Every label rises as is said."""
    before = np.full(len(LABELS), 0.5)
    return Outcome(
        labels=LABELS,
        clicked=clicked,
        before=of_precisions(before),
        after={0.6: of_precisions(before + gains)},
    )


def draw(*, few: float, known: float = 0.2, elsewhere: float = 0.03) -> tuple[Outcome, ...]:
    """Clicked labels win .2 and silent ones .05, but for the one of each in the small set."""
    gains = np.where(CLICKED, np.where(FEW, known, 0.2), np.where(FEW, few, 0.05))
    nobody = np.zeros(len(LABELS), bool)
    return outcome(gains, CLICKED), outcome(np.full(len(LABELS), elsewhere), nobody)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (draw(few=0.05), [True] * 9),
        (draw(few=-0.1), [*[True] * 3, False, True, True, False, True, True]),
        (draw(few=-0.1, known=-0.1), [*[True] * 3, False, False, True, False, False, True]),
        (draw(few=0.05, elsewhere=-0.06), [True, True, *[False] * 7]),
        (draw(few=0.05, elsewhere=0.01), [True, True, False, *[True] * 3, *[False] * 3]),
    ],
)
def test_a_draw_is_read_three_ways(made: tuple[Outcome, ...], expected: list[bool]) -> None:
    """A part may lose where its set does not, and a set of two labels where the gate looks away."""
    assert Said.of(made, 0.6).checks() == expected


def test_draws_are_counted_and_told() -> None:
    """What is worse has its interval and its number of labels."""
    draws = [draw(few=0.05), draw(few=-0.1)]
    assert list(counted(draws, {"strength": 0.6}))[2:] == [
        "| strength | 2 | 2 | 2 | 1 | 2 | 2 | 1 | 2 | 2 |"
    ]
    first, second = list(each_told(draws, {"strength": 0.6}))[2:]
    assert first == "| strength | 0 | +20.0 | +5.0 | +3.0 |  |"
    assert second.endswith("| few, labels without a click -10.0 [-10.0, -10.0] by 1 |")


def test_without_photos_of_other_things_two_gains_are_asked_for() -> None:
    """Neither column nor goal is made up."""
    site, _ = draw(few=0.05)
    assert Said.of((site,), 0.6).checks() == [True] * 8
    head, *_ = counted([(site,)], {"strength": 0.6})
    assert "other things" not in head
