"""An actor and an experiment in, the arm that answers out (docs/experiments.md, docs/adr/0027).

The same in every process and language, without anything to remember: the first 32 bits of SHA-256
of `SALT|ACTOR`, read as a fraction, are uniform over actors, and another salt draws anew.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import sha256
from typing import Protocol

_HEX_DIGITS = 8
_STEPS = 2.0**32


class Arm(StrEnum):
    """Which of the rankings of an experiment answers; stands behind its name in the variant."""

    CONTROL = "control"
    TREATMENT = "treatment"
    INTERLEAVED = "interleaved"
    """One page that both rankings take turns to fill."""


class Assignment(Protocol):
    """What an experiment says of who gets what."""

    @property
    def name(self) -> str:
        """Tells the name, which no other experiment has."""

    @property
    def share(self) -> float:
        """How many of the actors get what is new, 0 to 1."""

    @property
    def salt(self) -> str:
        """Makes the draw independent of that of other experiments."""

    @property
    def interleave(self) -> bool:
        """Whether what is new is a page of both rankings."""


def place_of(salt: str, actor_id: str) -> float:
    """Where an actor lies in [0, 1): 32 bits, which a float holds exactly."""
    digest = sha256(f"{salt}|{actor_id}".encode()).hexdigest()
    return int(digest[:_HEX_DIGITS], 16) / _STEPS


def arm_of(experiment: Assignment, actor_id: str) -> Arm:
    """The arm of an actor: always the same while the experiment runs."""
    if place_of(experiment.salt, actor_id) >= experiment.share:
        return Arm.CONTROL
    return Arm.INTERLEAVED if experiment.interleave else Arm.TREATMENT


def variant_of(name: str, arm: Arm) -> str:
    """What stands in search ids, impressions, triples and metrics: `<experiment>.<arm>`."""
    return f"{name}.{arm}"
