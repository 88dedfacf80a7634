"""Rates by actors, intervals for every look, the draw, and what is said of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.experiment import CROWDS, Crowd, between_arms, false_alarms, within_pages
from sightline.schemas.fields import Conclusion
from sightline.training.experiments.deciding import MIN_EFFECTIVE, effect_verdict
from sightline.training.experiments.interleaving import sign_test
from sightline.training.experiments.rates import UNKNOWN, Effect, lift_of, rate_of
from sightline.training.experiments.sample_ratio import sample_ratio
from sightline.training.experiments.sequential import (
    ALPHA,
    MIXTURE,
    half_width,
    p_value,
    variance_for,
)


def test_a_rate_has_the_variance_of_its_actors() -> None:
    """As in a thousand repetitions; by searches it would be told four times too small."""
    random = np.random.default_rng(0)
    values, told, by_search = [], [], []
    for _ in range(1_000):
        wholes = random.poisson(30, 300).astype(np.float64)
        chances = random.beta(1, 9, 300)
        parts = random.binomial(wholes.astype(np.int64), chances).astype(np.float64)
        rate = rate_of(parts, wholes)
        values.append(rate.value)
        told.append(rate.variance)
        by_search.append(rate.value * (1 - rate.value) / wholes.sum())
    assert np.mean(told) == pytest.approx(np.var(values), rel=0.1)
    assert np.mean(by_search) < 0.4 * np.var(values)


def test_a_single_interval_holds_in_95_of_100() -> None:
    """The interval beside a rate is what it says, for one look."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(1_000):
        wholes = random.poisson(30, 300).astype(np.float64)
        chances = random.beta(1, 9, 300)
        parts = random.binomial(wholes.astype(np.int64), chances).astype(np.float64)
        low, high = rate_of(parts, wholes).bounds
        held += low < 0.1 < high
    assert 930 <= held <= 970


def test_one_who_searches_all_the_time_counts_as_few() -> None:
    """A thousand actors of which one makes nearly all tell as much as one."""
    wholes = np.ones(1_000)
    assert rate_of(wholes, wholes).effective == pytest.approx(1_000)
    wholes[0] = 100_000
    assert rate_of(wholes, wholes).effective < 1.1


def test_nobody_and_nothing_have_no_lift() -> None:
    """Neither an empty arm nor one without a click is compared with another."""
    some = rate_of(np.array([1.0, 0.0]), np.array([10.0, 10.0]))
    none = rate_of(np.array([0.0, 0.0]), np.array([10.0, 10.0]))
    assert rate_of(np.zeros(0), np.zeros(0)) == UNKNOWN
    for other in (UNKNOWN, none):
        assert math.isnan(lift_of(some, other).point)
        assert math.isnan(lift_of(other, some).point)
    assert p_value(math.nan, math.inf) == 1.0


def test_the_interval_is_that_of_the_papers() -> None:
    """Theorem 2.2 of Waudby-Smith and others, for t observations of variance 1."""
    t, rho, alpha = 500, 0.05, 0.05
    papers = math.sqrt(
        2 * (t * rho**2 + 1) / (t * rho) ** 2 * math.log(math.sqrt(t * rho**2 + 1) / alpha)
    )
    assert half_width(1 / t, mixture=rho, alpha=alpha) == pytest.approx(papers)


@pytest.mark.parametrize("variance", [1e-8, 1e-4, 0.01])
def test_p_value_and_interval_say_the_same(variance: float) -> None:
    """Where 0 leaves the interval of level alpha, p is alpha."""
    reach = half_width(variance)
    assert p_value(reach, variance) == pytest.approx(ALPHA)
    assert p_value(-reach, variance) == pytest.approx(ALPHA)
    assert p_value(0.0, variance) == 1.0


@pytest.mark.parametrize("reach", [0.001, 0.02, 0.3])
def test_the_variance_for_a_width_has_that_width(reach: float) -> None:
    """How many actors more it takes is told by it."""
    assert half_width(variance_for(reach)) == pytest.approx(reach)


@pytest.mark.parametrize("crowd", CROWDS[2:3], ids=lambda crowd: crowd.told)
def test_looking_all_the_time_finds_nothing_that_is_not_there(crowd: Crowd) -> None:
    """Equal rankings, people who differ strongly and come again: at most 5 of 100."""
    small = replace(crowd, actors=1_500, activity=1.0, every=50)
    guarded, naive = false_alarms(small, 100, seed=3)
    assert guarded <= ALPHA
    assert naive > 3 * ALPHA


def test_a_lift_is_found_and_sooner_by_interleaving() -> None:
    """A fifth more clicks: most experiments find it, and few call it worse."""
    crowd = Crowd(told="", actors=8_000, activity=1.0, every=200)
    random = np.random.default_rng(4)
    arms = [between_arms(crowd, 0.2, random) for _ in range(10)]
    pages = [within_pages(crowd, 0.2, random) for _ in range(10)]
    assert {run.found for run in arms + pages} <= {Conclusion.BETTER, None}
    assert sum(run.found is Conclusion.BETTER for run in arms) >= 8
    assert sum(run.found is Conclusion.BETTER for run in pages) >= 8
    needed = [run.sequential or crowd.actors for run in pages]
    assert 2 * np.mean(needed) < np.mean([run.sequential or crowd.actors for run in arms])


def test_the_draw_is_fair_or_not() -> None:
    """Both tests see a lost tenth of an arm; neither sees one where chance suffices."""
    fair, unfair = sample_ratio(5_050, 4_950, 0.5), sample_ratio(5_000, 4_500, 0.5)
    assert fair.is_fair
    assert fair.chi_square_p == pytest.approx(0.3173, abs=1e-4)
    assert not unfair.is_fair
    assert unfair.chi_square_p < 1e-6
    assert sample_ratio(0, 0, 0.5).is_fair
    assert not sample_ratio(5_000, 5_000, 0.1).is_fair


def test_the_draw_may_be_looked_at_all_the_time() -> None:
    """Of a thousand fair draws, looked at after each of 2,000 actors, none is called unfair."""
    random = np.random.default_rng(5)
    worst = []
    for _ in range(200):
        treated = np.cumsum(random.random(2_000) < 0.3)
        worst.append(
            min(
                sample_ratio(n - int(treated[n - 1]), int(treated[n - 1]), 0.3).p_value
                for n in range(50, 2_001, 50)
            )
        )
    assert min(worst) > 0.001
    assert np.mean(np.array(worst) < 0.2) < 0.2


def effect(point: float, reach: float) -> Effect:
    """One whose interval reaches so far."""
    return Effect(point, variance_for(reach))


@pytest.mark.parametrize(
    ("found", "finding"),
    [
        (effect(0.08, 0.05), Conclusion.BETTER),
        (effect(-0.08, 0.05), Conclusion.WORSE),
        (effect(0.01, 0.03), Conclusion.EQUAL),
        (effect(0.04, 0.05), Conclusion.TOO_LITTLE),
        (Effect(math.nan, math.inf), Conclusion.TOO_LITTLE),
    ],
)
def test_the_interval_decides(found: Effect, finding: Conclusion) -> None:
    """Away from 0: better or worse; within what matters: equal; else more are needed."""
    decided = effect_verdict(found, "", actors=1_000, effective=500.0, least=0.05)
    assert decided.finding is finding
    assert (decided.needs > 0) == (finding is Conclusion.TOO_LITTLE)


def test_as_many_more_as_are_told_decide() -> None:
    """The variance falls with the number of actors; at the number that is told it suffices."""
    found = effect(0.04, 0.05)
    needs = effect_verdict(found, "", actors=1_000, effective=500.0, least=0.05).needs
    more = Effect(found.point, found.variance * 1_000 / (1_000 + needs))
    assert effect_verdict(more, "", actors=1_000 + needs, effective=500.0, least=0.05).needs <= 1
    fewer = Effect(found.point, found.variance * 1_000 / (1_000 + needs * 0.9))
    assert effect_verdict(fewer, "", actors=1_900, effective=500.0, least=0.05).needs > 1


def test_few_actors_decide_nothing() -> None:
    """Whatever they say: a variance over few is not known."""
    sure = Effect(0.5, 1e-6)
    decided = effect_verdict(sure, "", actors=300, effective=MIN_EFFECTIVE / 2, least=0.05)
    assert (decided.finding, decided.needs) == (Conclusion.TOO_LITTLE, 300)


def test_a_sign_test_is_that_of_a_fair_coin() -> None:
    """By hand: 1 of 5 or fewer, to either side, is 12 of 32."""
    assert sign_test(1, 5) == pytest.approx(12 / 32)
    assert sign_test(0, 0) == 1.0
    assert sign_test(50, 100) == 1.0
    assert MIXTURE == 0.05
