"""How a network's own weights are trained: every number that changes the result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sightline.engine.errors import SettingsInvalid
from sightline.training.datasets.look_alikes import LOOK_ALIKE_BITS
from sightline.training.loop.settings import HeadSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSettings:
    """What `train_backbone` does with the pairs that it is given.

    Raises:
        SettingsInvalid: a number that makes no sense; says which.
    """

    seed: int = 0
    steps: int = 200
    """Each looks at a batch of pairs."""
    batch: int = 64
    """Pairs in a step."""
    corpus: int = 64
    """Random pictures in a step, as negatives of every anchor in it."""
    blocks: int | None = 1
    """How many of the network's last blocks are trained; none: all of them."""
    chunk: int = 64
    """Pictures that are in the network at once: memory depends on it, and the last bits."""
    temperature: float = 0.1
    """Similarities are divided by it."""
    learning_rate: float = 1e-4
    """At the start; it falls to 0 along half a cosine."""
    smallest: float = 0.2
    """The least share of a picture that a view shows."""
    jitter: float = 0.5
    """How much a view's colours change: SimCLR's strength s; 0: not at all."""
    rotation: bool = False
    """Whether a view is also turned, by a random multiple of 90 degrees."""
    near_duplicate_bits: int = LOOK_ALIKE_BITS
    """Pictures that differ in at most so many bits of the hash are never each other's negatives."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What the network computes in; weights and their updates stay fp32."""
    checkpoint_every: int = 20
    """Steps after which the state is written, where there is a file for it."""

    def __post_init__(self) -> None:
        """Refuse what no training could be done with."""
        least = {"seed": 0, "steps": 0, "batch": 1, "corpus": 0, "blocks": 0, "chunk": 1}
        least |= {"near_duplicate_bits": 0}
        for name, bound in (least | {"jitter": 0, "checkpoint_every": 1}).items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise SettingsInvalid(f"{name} must be at least {bound}, not {value}")
        for name in ("temperature", "learning_rate", "smallest"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsInvalid(f"{name} must be above 0, not {getattr(self, name)}")
        if self.smallest > 1:
            raise SettingsInvalid(f"smallest must be at most 1, not {self.smallest}")

    @property
    def drawing(self) -> HeadSettings:
        """How batches are drawn and masked: as for a head, without what searches passed over.

        Those would be three pictures more for each pair, and won a head next to nothing.
        """
        bits = self.near_duplicate_bits
        return HeadSettings(
            seed=self.seed,
            batch=self.batch,
            corpus=self.corpus,
            mined=0,
            near_duplicate_bits=bits,
        )
