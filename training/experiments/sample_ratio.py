"""How many actors each arm has in, whether the draw can have been fair out.

Where it was not (a variant that crashes loses its visitors; a cache answers one arm), nothing of
the experiment can be believed: A. Fabijan and others, "Diagnosing Sample Ratio Mismatch in Online
Controlled Experiments" (KDD 2019). The chi-square test is right at one look; a fair draw fails it
sooner or later if one looks for ever. What voids a report is therefore the mixture of M. Lindon,
A. Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022), section 3, which may
be read at every look, and is exact: actors are drawn one by one, whatever they do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

CERTAIN = 0.001
"""A fair draw is called unfair in at most one of a thousand experiments, over all looks."""
_WEIGHT = 1_000.0
"""How near to the planned share the other shares lie that are thought of, in actors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """The actors of both arms, and what two tests say of the draw."""

    control: int
    treatment: int
    share: float
    """The treatment's part of the actors, as planned."""
    chi_square_p: float
    """For a single look."""
    p_value: float
    """For all looks together."""

    @property
    def is_fair(self) -> bool:
        """Whether the draw may have been as planned."""
        return self.p_value > CERTAIN


def sample_ratio(control: int, treatment: int, share: float) -> SampleRatio:
    """Hold the counts of distinct actors against the share that was planned, within (0, 1)."""
    count = control + treatment
    return SampleRatio(
        control=control,
        treatment=treatment,
        share=share,
        chi_square_p=_chi_square(treatment, count, share),
        p_value=_always_valid(treatment, count, share),
    )


def _chi_square(treatment: int, count: int, share: float) -> float:
    """Pearson's test, of one degree of freedom, for one look."""
    if not count:
        return 1.0
    statistic = (treatment - count * share) ** 2 / (count * share * (1 - share))
    return math.erfc(math.sqrt(statistic / 2))


def _always_valid(treatment: int, count: int, share: float) -> float:
    """One over the Bayes factor of a beta distribution of shares around the planned one."""
    control, a, b = count - treatment, _WEIGHT * share, _WEIGHT * (1 - share)
    against = _log_beta(a + treatment, b + control) - _log_beta(a, b)
    fair = treatment * math.log(share) + control * math.log1p(-share)
    return math.exp(min(0.0, fair - against))


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
