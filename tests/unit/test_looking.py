"""Loops that look again and again: what fails is told once, and tried again later and later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.looking import Obstacle, keep_looking

LOG = logging.getLogger("sightline.looking")
Look = Callable[[], None]


def fails(reason: str) -> Look:
    """A look that finds the store away."""

    def look() -> None:
        raise PartUnavailable(Part.STORE, reason)

    return look


def works() -> None:
    """A look that goes well."""


def waits(looks: list[Look], *, every_s: float) -> list[float]:
    """How long a loop waits after each of these looks; the last one ends it."""
    stop, waited, left = threading.Event(), list[float](), list(looks)

    def look() -> None:
        left.pop(0)()

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if not left:
            stop.set()

    keep_looking(look, stop, every_s=every_s, obstacle=Obstacle(LOG, "it waits"), wait=wait)
    return waited


def test_what_stays_the_same_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """And again when it changes, or comes back after a look that went well."""
    waits([fails("a"), fails("a"), fails("b"), works, fails("b"), works], every_s=5)
    assert [record.getMessage().split()[-1] for record in caplog.records] == ["a", "b", "b"]
    assert caplog.records[0].getMessage().startswith("it waits: ")


def test_a_part_that_stays_away_is_asked_less_and_less_often() -> None:
    """By whoever looks often at most 10 s later; the first that answers puts all back."""
    waited = waits([*[fails("a")] * 9, works, fails("a")], every_s=5)
    assert 0.5 <= waited[0] <= 1.0
    assert waited[4] > 5
    assert max(waited) <= 10
    assert waited[-2] == 5
    assert waited[-1] <= 1.0


@pytest.mark.parametrize(("every_s", "first_s"), [(0.25, 0.25), (60, 1), (3_600, 60)])
def test_what_looks_seldom_is_in_less_haste(every_s: float, first_s: float) -> None:
    """A look of once an hour may read the whole log; it never waits longer than as ever."""
    waited = waits([fails("a")] * 12, every_s=every_s)
    assert first_s / 2 <= waited[0] <= first_s
    assert max(waited) <= max(every_s, 10)


def test_what_nobody_expected_ends_the_loop() -> None:
    """Whoever runs it decides whether it begins anew."""

    def broken() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        waits([broken], every_s=5)


def test_a_loop_that_is_stopped_does_not_look() -> None:
    """Not even once."""
    stop = threading.Event()
    stop.set()
    keep_looking(fails("a"), stop, every_s=5, obstacle=Obstacle(LOG, "it waits"))
