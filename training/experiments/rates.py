"""Sums of actors in, a rate with the interval that they allow out, and how far two rates differ.

A rate such as the CTR is a ratio of two sums (images clicked, images shown), and who was drawn into
an arm is an actor, not a search: the searches of one person rise and fall together. So the variance
is the delta method's over actors: A. Deng, U. Knoblich, J. Lu, "Applying the Delta Method in Metric
Analytics" (KDD 2018), section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NORMAL_95 = 1.959964
"""Two-sided, of a normal distribution: for one look, as a figure beside the verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One ratio of sums over the actors of one arm."""

    value: float
    """NaN: nothing to divide by."""
    variance: float
    """The variance of `value`, by actors; infinite where it cannot be told."""
    actors: int
    """Those with anything to divide by."""
    effective: float
    """So many equally active actors would tell as much (Kish): where one of a thousand makes most
    of the searches, it is a few."""

    @property
    def bounds(self) -> tuple[float, float]:
        """Gives the 95 % interval for a single look."""
        reach = NORMAL_95 * math.sqrt(self.variance)
        return self.value - reach, self.value + reach

    @property
    def relative_variance(self) -> float:
        """The variance of the logarithm of the rate; infinite where that is 0 or unknown."""
        return self.variance / self.value**2 if self.value > 0 else math.inf


UNKNOWN = Rate(value=math.nan, variance=math.inf, actors=0, effective=0.0)
"""The rate of an arm of which nothing is known."""


def rate_of(parts: Floats, wholes: Floats) -> Rate:
    """The ratio of sums, Σ parts ÷ Σ wholes, of actors (n,) and (n,)."""
    able = wholes > 0
    parts, wholes = parts[able], wholes[able]
    return rate_of_moments(
        Moments(
            actors=len(wholes),
            part=float(parts.sum()),
            whole=float(wholes.sum()),
            part_squared=float(parts @ parts),
            both=float(parts @ wholes),
            whole_squared=float(wholes @ wholes),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """All that a rate and its variance need to know of the actors: sums over them."""

    actors: int
    part: float
    whole: float
    part_squared: float
    both: float
    """The sum of part · whole."""
    whole_squared: float


def rate_of_moments(sums: Moments) -> Rate:
    """The same from sums over the actors, which who looks often can carry on."""
    if not sums.actors:
        return UNKNOWN
    value = sums.part / sums.whole
    spread = sums.part_squared - 2 * value * sums.both + value**2 * sums.whole_squared
    variance = math.inf
    if sums.actors > 1:
        variance = max(spread, 0.0) / sums.whole**2 * sums.actors / (sums.actors - 1)
    return Rate(
        value=value,
        variance=variance,
        actors=sums.actors,
        effective=sums.whole**2 / sums.whole_squared,
    )


@dataclass(frozen=True, slots=True)
class Effect:
    """How far the treatment is from the control, on a scale where 0 is no difference."""

    point: float
    """NaN: unknown, since one of the two rates is 0 or unknown."""
    variance: float


def lift_of(control: Rate, treatment: Rate) -> Effect:
    """The logarithm of treatment ÷ control; relative, so that one scale fits every rate."""
    variance = control.relative_variance + treatment.relative_variance
    if not math.isfinite(variance):
        return Effect(math.nan, math.inf)
    return Effect(math.log(treatment.value / control.value), variance)


def relative(lift: float) -> float:
    """A logarithm of a quotient as a person says it: .05 is 5 % more."""
    return math.expm1(lift)
