"""An effect with its interval in, what it lets anybody say out: first whether it may be believed.

Nothing is decided while actors are too few, where the draw was not as planned, or where the log no
longer holds the beginning (docs/adr/0027).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from sightline.engine.serving.variants import Assignment, arm_of, variant_of
from sightline.schemas.fields import Conclusion
from sightline.training.experiments.actors import ExperimentSums
from sightline.training.experiments.rates import Effect
from sightline.training.experiments.sample_ratio import SampleRatio
from sightline.training.experiments.sequential import half_width, variance_for

MIN_EFFECTIVE = 100
"""Equally active actors of an arm below which a variance over actors is not to be trusted."""


@dataclass(frozen=True, slots=True)
class Concluded:
    """A conclusion, and why one comes to it."""

    finding: Conclusion
    says: str
    """For a person."""
    needs: int = 0
    """How many actors more would decide, if all stays as it is; 0: none would, or need to."""


def doubt_of(
    experiment: Assignment,
    sums: ExperimentSums,
    ratio: SampleRatio | None,
    started_at: datetime,
) -> Concluded | None:
    """Why nothing is to be believed, whatever the figures say; None: there is no reason."""
    misplaced = _misplaced(experiment, sums)
    if misplaced:
        says = (
            f"{misplaced} actors were in an arm that the draw does not give them: two processes "
            "did not follow the same experiment, or impressions were forged"
        )
        return Concluded(Conclusion.VOID, says)
    if ratio is not None and not ratio.is_fair:
        says = (
            f"{ratio.control} and {ratio.treatment} actors where {ratio.share:.3g} were to get "
            f"the treatment (p {ratio.p_value:.1g} over all looks, chi-square p "
            f"{ratio.chi_square_p:.1g}): some of an arm got lost; look for errors and time-outs "
            "of one variant"
        )
        return Concluded(Conclusion.VOID, says)
    if sums.whole_since is not None and sums.whole_since > started_at:
        says = (
            f"the log holds whole epochs since {sums.whole_since.isoformat()} only, after the "
            "start (docs/experiments.md): stop it and start another"
        )
        return Concluded(Conclusion.INCOMPLETE, says)
    return None


def _misplaced(experiment: Assignment, sums: ExperimentSums) -> int:
    return sum(
        variant_of(experiment.name, arm_of(experiment, actor)) != variant
        for variant, each in sums.variants.items()
        for actor in each.actors
    )


def effect_verdict(
    effect: Effect, says: str, *, actors: int, effective: float, least: float
) -> Concluded:
    """What the interval of an effect says.

    Args:
        effect: on a scale where 0 is no difference.
        says: the same for a person.
        actors: who it rests on.
        effective: how many equally active ones would tell as much, of the arm that has fewer.
        least: what is worth telling apart, on the same scale.
    """
    if effective < MIN_EFFECTIVE:
        needs = math.ceil(max(actors, 1) * (MIN_EFFECTIVE / max(effective, 1.0) - 1))
        few = f"an arm's actors tell as much as {effective:.0f} equally active ones would"
        return Concluded(Conclusion.TOO_LITTLE, f"{says}; {few}, {MIN_EFFECTIVE} are needed", needs)
    if math.isnan(effect.point):
        return Concluded(Conclusion.TOO_LITTLE, f"{says}; an arm has nothing to compare", actors)
    size, reach = abs(effect.point), half_width(effect.variance)
    if size > reach:
        return Concluded(Conclusion.BETTER if effect.point > 0 else Conclusion.WORSE, says)
    if size + reach < least:
        return Concluded(Conclusion.EQUAL, f"{says}; nothing that is worth telling apart")
    # Either 0 leaves the interval, or the interval fits between the bounds of no difference.
    allowed = variance_for(max(size, least - size))
    needs = max(1, math.ceil(actors * (effect.variance / allowed - 1)))
    return Concluded(Conclusion.TOO_LITTLE, f"{says}; it may be either", needs)
