"""What people clicked on pages of two rankings in, which ranking they prefer out.

Each search is won by the ranking whose results got more clicks; a tie tells nothing. F. Radlinski,
M. Kurup, T. Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?" (CIKM 2008), section
4.2; how the page is drawn: search_api/search/team_draft.py. Everybody sees both rankings, so that
people differ from themselves alone: far fewer actors tell as much as between two arms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sightline.training.experiments.actors import VariantSums
from sightline.training.experiments.deciding import Concluded, effect_verdict
from sightline.training.experiments.rates import Effect, Rate, rate_of
from sightline.training.experiments.sequential import half_width, p_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """How much more often the treatment won searches than the control."""

    treatment_wins: int
    """Searches in which its results got more clicks."""
    control_wins: int
    ties: int
    """Searches with as many clicks on both, at least one each."""
    treatment_actors: int
    """Who preferred it in more of their searches than not."""
    control_actors: int
    margin: Rate
    """(Treatment's wins - control's) ÷ both, by actors: -1 to 1."""

    @property
    def effect(self) -> Effect:
        """Gives the margin, with its variance by actors."""
        return Effect(self.margin.value, self.margin.variance)

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval of the margin, which holds at every look."""
        reach = half_width(self.margin.variance)
        return max(-1.0, self.margin.value - reach), min(1.0, self.margin.value + reach)

    @property
    def p_value(self) -> float:
        """How likely such a margin is if both are preferred alike, over all looks together."""
        return p_value(self.margin.value, self.margin.variance)

    @property
    def sign_test_p(self) -> float:
        """How likely the actors' votes are, one each, if both are preferred alike; for one look."""
        votes = self.treatment_actors + self.control_actors
        return sign_test(min(self.treatment_actors, self.control_actors), votes)

    def decided(self, least: float) -> Concluded:
        """What the margin says; `least` is the margin that is worth telling apart."""
        low, high = self.bounds
        says = f"margin {self.margin.value:+.3f} [{low:+.3f}, {high:+.3f}]"
        if not self.margin.actors:
            says = "no search was won"
        return effect_verdict(
            self.effect,
            says,
            actors=self.margin.actors,
            effective=self.margin.effective,
            least=least,
        )


def preference_of(sums: VariantSums) -> Preference:
    """What the actors who saw interleaved pages prefer."""
    treatment, control = sums.column("treatment_wins"), sums.column("control_wins")
    return Preference(
        treatment_wins=int(treatment.sum()),
        control_wins=int(control.sum()),
        ties=int(sums.column("ties").sum()),
        treatment_actors=int(np.sum(treatment > control)),
        control_actors=int(np.sum(treatment < control)),
        margin=rate_of(treatment - control, treatment + control),
    )


def sign_test(fewer: int, votes: int) -> float:
    """The chance of a fair coin to fall `fewer` times or less to either side; 1 without votes."""
    if not votes:
        return 1.0
    half = votes * math.log(0.5)
    tail = sum(
        math.exp(math.lgamma(votes + 1) - math.lgamma(n + 1) - math.lgamma(votes - n + 1) + half)
        for n in range(fewer + 1)
    )
    return min(1.0, 2 * tail)
