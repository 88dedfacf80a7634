"""What an operator does during the story, and the seeded moments at which a part is killed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

COMMAND = "command"
"""A part of every deployment: the process of `sightline reindex`, which is asked for again."""
LONGEST_S = {"reindex": 3.0, "switch": 0.5, "rollback": 0.5}
"""A kill comes at a moment up to so long after its step began."""


class Step(NamedTuple):
    """One thing that an operator does."""

    what: str
    """`reindex`, `switch` or `rollback`."""
    model: str = ""
    by: str = ""

    def __str__(self) -> str:
        return " ".join(word for word in self if word)


STORY = (
    Step("reindex", "turned", "features"),
    Step("switch", "turned"),
    Step("reindex", "drawn", "bytes"),
    Step("switch", "drawn"),
    Step("rollback"),
)


class Kill(NamedTuple):
    """A moment of the story: so long after a step began, or after the kill before it."""

    step: int
    after_s: float
    victim: str
    """A part of the deployment, or `command`."""


def kills_of(count: int, seed: int, parts: Sequence[str]) -> list[Kill]:
    """Seeded moments, so many for each part, most of them while a generation is filled."""
    random = Random(seed)  # noqa: S311 - a simulation
    found = [_kill(random, victim) for victim in parts for _ in range(count)]
    random.shuffle(found)
    return sorted(found, key=lambda kill: kill.step)


def _kill(random: Random, victim: str) -> Kill:
    weights = [3, 0, 4, 0, 0] if victim == COMMAND else [3, 1, 4, 1, 1]
    step = random.choices(range(len(STORY)), weights=weights)[0]
    return Kill(step, random.uniform(0, LONGEST_S[STORY[step].what]), victim)
