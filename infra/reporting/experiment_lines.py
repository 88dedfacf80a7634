"""An experiment and what came of it in, lines for a person out."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sightline.infra.commands.experiments.reporting import ToldExperiment
from sightline.infra.commands.experiments.running import what
from sightline.training.experiments.comparing import ComparedRate, ExperimentReport
from sightline.training.experiments.interleaving import Preference
from sightline.training.experiments.rates import Rate

_NAMES = {"dwell_mean_ms": ("dwell_mean_s", 1_000.0)}


def report_lines(told: ToldExperiment) -> Iterator[str]:
    """What came of an experiment: counts, figures, and at last what they say."""
    report, started = told.report, told.started
    yield what(started)
    until = report.whole_until
    counted = "nothing yet: no epoch has closed" if until is None else f"to {until.isoformat()}"
    state = "runs" if told.runs else "has ended"
    yield f"{state}; searches from {started.started_at.isoformat()} {counted}"
    for arm, counts in report.arms.items():
        yield (
            f"{arm:>11}: {counts.actors} actors, {counts.searches} searches, "
            f"{counts.bot_searches} of bots"
        )
    yield from _figures(report)
    decided = report.decided
    yield f"{decided.finding}: {decided.says}"
    if told.said:
        yield f"when it ended: {told.said}"
    if decided.needs:
        yield f"{decided.needs} actors more would tell, if all stays as it is"


def _figures(report: ExperimentReport) -> Iterator[str]:
    for rate in report.rates:
        yield _rate(rate)
    if report.preference is not None:
        yield from _preference(report.preference)
    if (ratio := report.ratio) is not None:
        yield f"draw: chi-square p {ratio.chi_square_p:.2g}, over all looks p {ratio.p_value:.2g}"


def _rate(rate: ComparedRate) -> str:
    name, unit = _NAMES.get(rate.name, (rate.name, 1.0))
    values = f"{name}: {_value(rate.control, unit)} against {_value(rate.treatment, unit)}"
    if math.isnan(rate.lift.point):
        return values
    low, high = rate.bounds
    return f"{values}, lift [{low:+.1%}, {high:+.1%}] p {rate.p_value:.2g} at any look"


def _preference(preference: Preference) -> Iterator[str]:
    low, high = preference.bounds
    yield (
        f"searches won: {preference.control_wins} by the control, "
        f"{preference.treatment_wins} by the treatment, {preference.ties} by both"
    )
    yield f"margin: [{low:+.3f}, {high:+.3f}] p {preference.p_value:.2g} at any look"
    yield (
        f"actors who prefer: {preference.control_actors} the control, "
        f"{preference.treatment_actors} the treatment, sign test p "
        f"{preference.sign_test_p:.2g} at one look"
    )


def _value(rate: Rate, unit: float) -> str:
    if not rate.actors:
        return "unknown"
    low, high = rate.bounds
    return f"{rate.value / unit:.4g} [{low / unit:.4g}, {high / unit:.4g}]"
