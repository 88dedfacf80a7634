"""Measured evidence about a candidate in, the decision whether it is released out.

Each rule becomes one line with its interval, so that whoever reads a refusal sees what was missing.
Why these rules, and how often they are wrong: docs/adr/0022.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sightline.training.evaluation.paired import NOTHING, Difference
from sightline.training.evaluation.served import ServedAsBuilt

_MOST_TIMES = 10
"""A rule that would need more than so many times the clusters fails: the model is at the limit."""


class GateVerdict(StrEnum):
    """What becomes of a candidate that was measured."""

    RELEASED = "released"
    REFUSED = "refused"
    TOO_LITTLE = "too_little"


class RuleOutcome(StrEnum):
    """What one rule says of a candidate."""

    PASSED = "passed"
    FAILED = "failed"
    TOO_LITTLE = "too_little"
    REPORTED = "reported"
    """The rule decides nothing here; its figures are told all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """What a release must reach; differences are of mean average precision (0-1)."""

    effect: float = 0.01
    """The least gain on what was clicked: with thousands of queries any gain is significant."""
    margin: float = 0.01
    """What may be lost on things that nobody clicked."""
    min_clusters: int = 80
    """Clusters without clicks that are needed to tell such a loss."""
    min_choosing: int = 40
    """So many more are needed to choose a strength by: it is the strongest that does no harm on
    them, and the fewer they are, the more of it chance makes seem harmful."""
    slice_margin: float = 0.05
    """What may be lost in a single slice."""
    min_slice_clusters: int = 20
    """A bootstrap over fewer clusters is not honest: such a slice is only reported."""
    harm_p: float = 0.02
    """A loss where people judged is shown if one so large, up or down, is as rare as that among
    equal models: one such loss in a hundred."""
    min_pictures: int = 200
    """Pictures on which the model as served is compared with the model as trained."""
    min_cosine: float = 0.9999
    """How equal the worst of them must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was measured of a candidate against the model that it would replace."""

    clicked: Difference
    """Average precision on queries about what was clicked in training."""
    clicked_gain: Difference
    """The same queries by nDCG of their grades; either of the two may show the gain."""
    unclicked: Difference
    """Average precision on clusters that were held out of training."""
    slices: Mapping[str, Difference]
    """Average precision per slice, by its name: domains of labels, or hot and cold anchors."""
    served: ServedAsBuilt
    """The converted model beside the trained one."""
    judged: Difference | None = None
    """Average precision on what people graded, where clicks decide; None: nobody graded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one rule found, told for a person."""

    rule: str
    outcome: RuleOutcome
    says: str
    """The figures, and what they are held against."""
    needs: int = 0
    """How many clusters more would let the rule decide; 0: it has, or no number would help."""


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What becomes of a candidate, and the line of each rule."""

    verdict: GateVerdict
    lines: tuple[Line, ...]

    @property
    def needs(self) -> int:
        """How many clusters more it takes to decide; 0: it is decided."""
        short = self.verdict is GateVerdict.TOO_LITTLE
        return max((line.needs for line in self.lines), default=0) if short else 0


def decide(evidence: Evidence, limits: GateLimits) -> GateDecision:
    """All rules must pass; one that fails refuses, whatever others still wait for."""
    lines = (
        _better(evidence, limits),
        _not_worse(evidence.unclicked, limits),
        *([] if evidence.judged is None else [_not_worse_judged(evidence.judged, limits)]),
        *(_slice(name, found, limits) for name, found in sorted(evidence.slices.items())),
        _as_built(evidence.served, limits),
    )
    outcomes = {line.outcome for line in lines}
    if RuleOutcome.FAILED in outcomes:
        return GateDecision(GateVerdict.REFUSED, lines)
    short = RuleOutcome.TOO_LITTLE in outcomes
    return GateDecision(GateVerdict.TOO_LITTLE if short else GateVerdict.RELEASED, lines)


def harmless(
    unclicked: Difference,
    slices: Mapping[str, Difference],
    limits: GateLimits,
    judged: Difference = NOTHING,
) -> bool:
    """Whether rules 2 and 3 hold, however many clusters there are: enough to choose by."""
    outcomes = {_slice(name, each, limits).outcome for name, each in slices.items()}
    outcomes.add(_not_worse_judged(judged, limits).outcome)
    return unclicked.lower > -limits.margin and RuleOutcome.FAILED not in outcomes


def _better(evidence: Evidence, limits: GateLimits) -> Line:
    """Rule 1: better on what was clicked, surely and by an effect that matters."""
    by_measure = {"mAP": evidence.clicked, "nDCG": evidence.clicked_gain}
    lines = [_gain(name, found, limits) for name, found in by_measure.items()]
    order = (RuleOutcome.PASSED, RuleOutcome.TOO_LITTLE, RuleOutcome.FAILED)
    return min(lines, key=lambda line: order.index(line.outcome))


def _gain(measure: str, found: Difference, limits: GateLimits) -> Line:
    says = f"{measure} {difference_shown(found)}, needed {limits.effect:+.3f} and surely above 0"
    outcome, needs = _sure(found, floor=0.0, at_least=limits.min_slice_clusters)
    if outcome is RuleOutcome.PASSED and found.point < limits.effect:
        outcome = RuleOutcome.FAILED
    return Line(rule="better where clicked", outcome=outcome, says=says, needs=needs)


def _not_worse(found: Difference, limits: GateLimits) -> Line:
    """Rule 2: no loss that matters on what nobody clicked."""
    says = f"mAP {difference_shown(found)}, needed surely above {-limits.margin:+.3f}"
    outcome, needs = _sure(found, floor=-limits.margin, at_least=limits.min_clusters)
    return Line(rule="not worse where not clicked", outcome=outcome, says=says, needs=needs)


def _not_worse_judged(found: Difference, limits: GateLimits) -> Line:
    """Rule 2 by people's grades: a loss that shows refuses, and what cannot be told blocks not."""
    rule = "not worse where judged"
    says = f"mAP {difference_shown(found)}, needed surely above {-limits.margin:+.3f}"
    # Written so that what is no number fails.
    if found.clusters and not (found.point > -limits.margin or found.p_value > limits.harm_p):
        return Line(rule=rule, outcome=RuleOutcome.FAILED, says=says)
    if found.clusters >= limits.min_slice_clusters and found.lower > -limits.margin:
        return Line(rule=rule, outcome=RuleOutcome.PASSED, says=says)
    return Line(rule=rule, outcome=RuleOutcome.REPORTED, says=f"{says}: too few to tell")


def _slice(name: str, found: Difference, limits: GateLimits) -> Line:
    """Rule 3: no great loss in any slice that is large enough to tell."""
    rule = f"slice {name}"
    if found.clusters < limits.min_slice_clusters:
        says = f"mAP {difference_shown(found)}, fewer than {limits.min_slice_clusters} clusters"
        return Line(rule=rule, outcome=RuleOutcome.REPORTED, says=says)
    passed = found.lower > -limits.slice_margin
    says = f"mAP {difference_shown(found)}, needed surely above {-limits.slice_margin:+.3f}"
    return Line(rule=rule, outcome=RuleOutcome.PASSED if passed else RuleOutcome.FAILED, says=says)


def _as_built(served: ServedAsBuilt, limits: GateLimits) -> Line:
    """Rule 4: what would be served is what was trained, and is whole."""
    whole = served.finite and served.collapsed == 0 and served.worst_cosine >= limits.min_cosine
    says = (
        f"{served.pictures} pictures, worst cosine {served.worst_cosine:.6f}, "
        f"{served.collapsed} collapsed dimensions"
        + ("" if served.finite else ", values that are no numbers")
        + (f", {served.unread} more cannot be read" if served.unread else "")
        + f"; needed {limits.min_pictures} and {limits.min_cosine}"
    )
    outcome = RuleOutcome.PASSED if whole else RuleOutcome.FAILED
    if whole and served.pictures < limits.min_pictures:
        outcome = RuleOutcome.TOO_LITTLE
    return Line(rule="served as built", outcome=outcome, says=says)


def _sure(found: Difference, *, floor: float, at_least: int) -> tuple[RuleOutcome, int]:
    """Whether the true difference is surely above the floor, and how many clusters it lacks."""
    # Each written so that what is no number fails.
    if not found.upper > floor:
        return RuleOutcome.FAILED, 0
    if found.clusters < at_least:
        return RuleOutcome.TOO_LITTLE, at_least - found.clusters
    if found.lower > floor:
        return RuleOutcome.PASSED, 0
    if not found.point > floor:
        return RuleOutcome.FAILED, 0
    # The bound comes nearer to the point by the square root of the number of clusters.
    times = ((found.point - found.lower) / (found.point - floor)) ** 2
    if times > _MOST_TIMES:
        return RuleOutcome.FAILED, 0
    return RuleOutcome.TOO_LITTLE, math.ceil(found.clusters * times) - found.clusters + 1


def difference_shown(found: Difference) -> str:
    """A difference for a person: point, bounds, and how much it rests on."""
    bounds = f"[{found.lower:+.4f}, {found.upper:+.4f}]"
    rests = f"{found.queries} queries in {found.clusters} clusters"
    return f"{found.point:+.4f} {bounds} p {found.p_value:.3f} ({rests})"
