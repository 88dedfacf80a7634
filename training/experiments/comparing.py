"""Sums of the actors of two arms in, what the experiment came to out: one figure decides, the CTR.

It is chosen before any is seen; the others are told beside it, since whoever may choose among four
figures finds one of them by chance more often than the intervals say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from sightline.engine.serving.variants import Arm, Assignment, variant_of
from sightline.training.experiments.actors import ExperimentSums, VariantSums
from sightline.training.experiments.deciding import Concluded, doubt_of, effect_verdict
from sightline.training.experiments.interleaving import Preference, preference_of
from sightline.training.experiments.rates import Effect, Rate, lift_of, rate_of, relative
from sightline.training.experiments.sample_ratio import SampleRatio, sample_ratio
from sightline.training.experiments.sequential import half_width, p_value

LEAST = 0.05
"""A relative difference that is worth telling apart; a smaller one counts as none."""
RATIOS = {
    "ctr": ("images_clicked", "images_shown"),
    "clicks_per_search": ("clicks", "searches"),
    "conversion_rate": ("searches_converted", "searches"),
    "dwell_mean_ms": ("dwell_ms", "dwells"),
}
"""Figures, as ratios of what is added up; the first decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRate:
    """One figure of both arms, and how much more the treatment has."""

    name: str
    control: Rate
    treatment: Rate
    lift: Effect
    """The logarithm of treatment ÷ control."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval of what the treatment has more, ÷ the control's rate; for every look."""
        reach = half_width(self.lift.variance)
        return relative(self.lift.point - reach), relative(self.lift.point + reach)

    @property
    def p_value(self) -> float:
        """How likely such a lift is if both are equal, over all looks together."""
        return p_value(self.lift.point, self.lift.variance)

    def __str__(self) -> str:
        if math.isnan(self.lift.point):
            return f"{self.name} unknown"
        low, high = self.bounds
        return f"{self.name} {relative(self.lift.point):+.1%} [{low:+.1%}, {high:+.1%}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """How much an arm's figures rest on."""

    actors: int
    """Who searched, bots too."""
    searches: int
    """By people."""
    bot_searches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentReport:
    """What is known of an experiment, and what follows."""

    decided: Concluded
    arms: dict[Arm, ArmCounts]
    rates: tuple[ComparedRate, ...] = ()
    """Figures of two arms of different actors; empty where pages were interleaved."""
    preference: Preference | None = None
    """What interleaved pages tell; None: there were none."""
    ratio: SampleRatio | None = None
    """None: everybody was to get the same."""
    whole_until: datetime | None = None
    """Searches issued before it are counted; later epochs have not closed. None: none has."""


def arms_of(experiment: Assignment) -> tuple[Arm, Arm]:
    """What the searches of an experiment are counted under."""
    return Arm.CONTROL, Arm.INTERLEAVED if experiment.interleave else Arm.TREATMENT


def variants_of(experiment: Assignment) -> tuple[str, ...]:
    """The same as impressions and metrics name them."""
    return tuple(variant_of(experiment.name, arm) for arm in arms_of(experiment))


def report_of(
    experiment: Assignment, sums: ExperimentSums, *, started_at: datetime, least: float = LEAST
) -> ExperimentReport:
    """What the sums of an experiment's actors come to.

    Args:
        experiment: who was to get what.
        sums: what they did.
        started_at: when the first of them may have searched.
        least: the relative difference that is worth telling apart, such as .05.
    """
    control, other = (sums.variants[variant] for variant in variants_of(experiment))
    ratio = None
    if 0 < experiment.share < 1:
        ratio = sample_ratio(len(control.actors), len(other.actors), experiment.share)
    rates: tuple[ComparedRate, ...] = ()
    preference = None
    if experiment.interleave:
        preference = preference_of(other)
        decided = preference.decided(least)
    else:
        rates = tuple(_compared(name, control, other) for name in RATIOS)
        decided = _decided(rates[0], least)
    arms = zip(arms_of(experiment), (control, other), strict=True)
    return ExperimentReport(
        decided=doubt_of(experiment, sums, ratio, started_at) or decided,
        arms={arm: _counts(each) for arm, each in arms},
        rates=rates,
        preference=preference,
        ratio=ratio,
        whole_until=sums.whole_until,
    )


def _counts(sums: VariantSums) -> ArmCounts:
    return ArmCounts(
        actors=len(sums.actors),
        searches=int(sums.column("searches").sum()),
        bot_searches=sums.bot_searches,
    )


def _compared(name: str, control: VariantSums, treatment: VariantSums) -> ComparedRate:
    part, whole = RATIOS[name]
    before, after = (
        rate_of(each.column(part), each.column(whole)) for each in (control, treatment)
    )
    return ComparedRate(name=name, control=before, treatment=after, lift=lift_of(before, after))


def _decided(rate: ComparedRate, least: float) -> Concluded:
    return effect_verdict(
        rate.lift,
        str(rate),
        actors=rate.control.actors + rate.treatment.actors,
        effective=min(rate.control.effective, rate.treatment.effective),
        least=math.log1p(least),
    )
