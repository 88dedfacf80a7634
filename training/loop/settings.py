"""How a head is trained: every number that changes the result, each with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from pydantic import ConfigDict

from sightline.engine.errors import SettingsInvalid
from sightline.training.datasets.look_alikes import LOOK_ALIKE_BITS

Activation = Literal["relu", "gelu", "tanh"]
FEW_PAIRS, FEW_STEPS, STEPS = 2_000, 100, 200
"""Longer training wins little on what was clicked and loses much on what was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """What `train_head` does with the pairs that it is given.

    Raises:
        SettingsInvalid: a number that makes no sense; says which.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    seed: int = 0
    steps: int | None = None
    """None: 200, or 100 where there are fewer than 2,000 pairs."""
    batch: int = 128
    """Pairs in a step."""
    corpus: int = 256
    """Random pictures in a step, as negatives of every anchor in it."""
    mined: int = 3
    """At most so many of what a pair's search passed over, as negatives of every anchor."""
    skip_hardest: int = 0
    """So many of the most similar negatives of each anchor are left out as likely right."""
    temperature: float = 0.1
    """Similarities are divided by it; lower looks at the nearest negatives alone."""
    learning_rate: float = 1e-3
    """At the start; it falls to 0 along half a cosine."""
    balance: float = 0.5
    """A pair is drawn, and counts in whitening, by (its anchor's number of pairs)^-balance: 0 each
    pair alike, 1 each anchor."""
    near_duplicate_bits: int = LOOK_ALIKE_BITS
    """Pictures that differ in at most so many bits of the hash are never each other's negatives;
    -1: hashes mask nothing."""
    identity_mask: bool = True
    """Whether the anchor itself and what it prefers are no negatives of it. Equal hashes mask them,
    too."""
    click_mask: bool = False
    """Whether what lies within two clicks of the anchor is no negative of it. Beside walks it costs
    more of what nobody clicked than it wins (docs/adr/0031-walks-on-the-click-graph.md)."""
    click_walk: bool = True
    """Whether an anchor's positive is what a walk over clicks ends at, not what was clicked."""
    depth: int = 0
    """Hidden layers of the residual that is trained; what is kept of a deep one is the linear map
    nearest to it, which is no better than a linear one (docs/training.md)."""
    activation: Activation = "gelu"
    """What each hidden layer makes of its numbers; without hidden layers it has no part."""
    whitening: bool = True
    """Whether training starts from the whitened projection."""
    familiar: bool = False
    """Whether the projection changes along those directions alone in which clicked pictures vary:
    others keep more of their old places, and clicks win less at equal strength."""
    familiarity_gate: bool = False
    """Whether pictures take the less of the change the more unlike they are to all that was
    clicked. No matrix on the query promotes such a head (docs/adr/0032-familiarity.md)."""
    checkpoint_every: int = 50
    """Steps after which the state is written, where there is a file for it."""

    def __post_init__(self) -> None:
        """Refuse what no training could be done with."""
        least = {"batch": 1, "corpus": 0, "mined": 0, "skip_hardest": 0, "near_duplicate_bits": -1}
        least |= {"steps": 0, "seed": 0, "checkpoint_every": 1, "depth": 0}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise SettingsInvalid(f"{name} must be at least {bound}, not {value}")
        for name in ("temperature", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsInvalid(f"{name} must be above 0, not {getattr(self, name)}")
        if self.activation not in get_args(Activation):
            known = ", ".join(get_args(Activation))
            raise SettingsInvalid(f"activation must be one of {known}, not {self.activation}")
        if not 0 <= self.balance <= 1:
            raise SettingsInvalid(f"balance must lie from 0 to 1, not {self.balance}")

    def steps_for(self, pairs: int) -> int:
        """How many steps are done with so many pairs."""
        if self.steps is not None:
            return self.steps
        return FEW_STEPS if pairs < FEW_PAIRS else STEPS
