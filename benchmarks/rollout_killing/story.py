"""What an operator does during the story, and the seeded moments at which a part is killed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

COMMAND = "command"
"""A part of every deployment: the process of `sightline reindex`, which is asked for again."""
LONGEST_S = {"reindex": 3.0, "experiment": 0.5, "stop": 0.5, "switch": 0.5, "rollback": 0.5}
"""A kill comes at a moment up to so long after its step began."""


class Step(NamedTuple):
    """One thing that an operator does."""

    what: str
    """`reindex`, `experiment`, `stop`, `switch` or `rollback`."""
    model: str = ""
    by: str = ""

    def __str__(self) -> str:
        return " ".join(word for word in self if word)


STORY = (
    Step("reindex", "turned", "features"),
    Step("experiment", "turned"),
    Step("stop"),
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
    step = random.choices(range(len(STORY)), weights=[_weight(step, victim) for step in STORY])[0]
    return Kill(step, random.uniform(0, LONGEST_S[STORY[step].what]), victim)


def _weight(step: Step, victim: str) -> int:
    """Only a re-index has a command that runs for a while."""
    if step.what == "reindex":
        return 4 if step.by == "bytes" else 3
    return 0 if victim == COMMAND else 1
