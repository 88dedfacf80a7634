"""How often a comparison that is watched all the time is wrong, and what it needs to be right.

People who differ strongly come again and again; each search is one look, as far as the sequential
test is looked at after every tenth. A and B are equal, then B is better by a known lift.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure, Size, ratio
from sightline.schemas.fields import Conclusion
from sightline.training.experiments.deciding import MIN_EFFECTIVE, effect_verdict
from sightline.training.experiments.rates import (
    NORMAL_95,
    Effect,
    Moments,
    Rate,
    lift_of,
    rate_of_moments,
)
from sightline.training.experiments.sequential import ALPHA

SEED = 20_261_128
PAGE = 24
EVERY = 10
LEAST = 0.05
LIFTS = (0.1, 0.2)
SHARE = 0.5
_NEARLY = NORMAL_95 - 0.01
MOST = 0.5
"""Nobody clicks more of a page."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """How people differ, and how they come."""

    told: str
    actors: int = 3_000
    searches_each: float = 4.0
    activity: float = 1.5
    """Standard deviation of the logarithm of how often somebody searches: at 1.5 the busiest
    hundredth make a fifth of the searches."""
    ctr: float = 0.04
    taste: float = 0.7
    """Standard deviation of the logarithm of how much of a page somebody clicks."""
    every: int = EVERY
    """Searches between two looks."""
    arriving: float = 1.0
    """The part of the time in which new people come; 0: all are there from the start."""


CROWDS = (
    Crowd(told="each comes once", activity=0.0, searches_each=1.0, actors=8_000),
    Crowd(told="all there from the start", arriving=0.0),
    Crowd(told="coming all the time", actors=6_000),
    Crowd(told="the busiest of a hundred makes a third", activity=1.8, actors=10_000),
)


@dataclass(frozen=True)
class Looks:
    """Sums over the actors of an arm after each look, a column each: see `Moments`."""

    actors: Floats
    part: Floats
    whole: Floats
    part_squared: Floats
    both: Floats
    whole_squared: Floats

    def estimates(self) -> tuple[Floats, Floats, Floats]:
        """Value, variance and effective actors at all looks: to find those that can decide."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.part / self.whole
            spread = self.part_squared - 2 * value * self.both + value**2 * self.whole_squared
            variance = spread / self.whole**2 * self.actors / (self.actors - 1)
            return value, variance, self.whole**2 / self.whole_squared

    def rate(self, look: np.int64) -> Rate:
        """The arm's rate at one look."""
        return rate_of_moments(
            Moments(
                actors=int(self.actors[look]),
                part=float(self.part[look]),
                whole=float(self.whole[look]),
                part_squared=float(self.part_squared[look]),
                both=float(self.both[look]),
                whole_squared=float(self.whole_squared[look]),
            )
        )


def searches_of(crowd: Crowd, random: np.random.Generator) -> NDArray[np.int64]:
    """Who makes each search, in order of time."""
    spread = random.lognormal(-(crowd.activity**2) / 2, crowd.activity, crowd.actors)
    first = random.uniform(0, crowd.arriving, crowd.actors)
    often = random.poisson(crowd.searches_each * spread * (1 - first / 2))
    if crowd.activity == 0:
        often = np.ones(crowd.actors, np.int64)
    who = np.repeat(np.arange(crowd.actors), often)
    when = first[who] + random.uniform(0, 1, len(who)) * (1 - first[who])
    order: NDArray[np.int64] = who[np.argsort(when, kind="stable")]
    return order


def tastes_of(crowd: Crowd, random: np.random.Generator) -> Floats:
    """How much of what is shown each actor clicks."""
    tastes = random.lognormal(-(crowd.taste**2) / 2, crowd.taste, crowd.actors)
    return np.minimum(MOST, crowd.ctr * tastes)


def looks_at(who: NDArray[np.int64], parts: Floats, wholes: Floats, every: int) -> Looks:
    """Sums over actors after every so many searches, of what each did so far."""
    before_part, before_whole = _before(who, parts), _before(who, wholes)
    is_new = (before_whole == 0) & (wholes > 0)
    steps = (
        is_new.astype(np.float64),
        parts,
        wholes,
        parts * (2 * before_part + parts),
        before_part * wholes + parts * before_whole + parts * wholes,
        wholes * (2 * before_whole + wholes),
    )
    return Looks(*(np.cumsum(step)[every - 1 :: every] for step in steps))


def _before(who: NDArray[np.int64], values: Floats) -> Floats:
    """What each search's actor had before it."""
    order = np.argsort(who, kind="stable")
    sums = np.cumsum(values[order]) - values[order]
    starts = np.flatnonzero(np.r_[True, np.diff(who[order]) != 0])
    per_actor = np.repeat(sums[starts], np.diff(np.r_[starts, len(who)]))
    before = np.empty(len(who))
    before[order] = sums - per_actor
    return before


@dataclass(frozen=True)
class Peeked:
    """When somebody who looks all the time would have stopped; None: never."""

    sequential: int | None
    """By the interval that holds at every look: how many actors there were."""
    naive: int | None
    """By a 95 % interval for a single look."""
    found: Conclusion | None
    """What the sequential one found."""


def between_arms(crowd: Crowd, lift: float, random: np.random.Generator) -> Peeked:
    """One experiment of two arms."""
    who = searches_of(crowd, random)
    treated = random.random(crowd.actors) < SHARE
    chances = tastes_of(crowd, random)
    chances = np.where(treated, chances * (1 + lift), chances)[who]
    clicked = random.binomial(PAGE, chances).astype(np.float64)
    shown = np.full(len(who), float(PAGE))
    arms = [
        looks_at(who, clicked * mine, shown * mine, crowd.every)
        for mine in (~treated[who], treated[who])
    ]

    def effects() -> Iterator[tuple[Effect, float, int]]:
        for look in _deciding(*arms):
            control, treatment = (arm.rate(look) for arm in arms)
            effective = min(control.effective, treatment.effective)
            yield lift_of(control, treatment), effective, control.actors + treatment.actors

    return _peeked(effects())


def within_pages(crowd: Crowd, lift: float, random: np.random.Generator) -> Peeked:
    """One experiment with interleaved pages: half of each page is either ranking's."""
    who = searches_of(crowd, random)
    chances = tastes_of(crowd, random)[who]
    control = random.binomial(PAGE // 2, chances)
    treatment = random.binomial(PAGE // 2, np.minimum(1, chances * (1 + lift)))
    won = np.sign(treatment - control).astype(np.float64)
    looks = looks_at(who, won, np.abs(won), crowd.every)

    def effects() -> Iterator[tuple[Effect, float, int]]:
        for look in _deciding(looks):
            margin = looks.rate(look)
            yield Effect(margin.value, margin.variance), margin.effective, margin.actors

    return _peeked(effects())


def _deciding(first: Looks, second: Looks | None = None) -> NDArray[np.int64]:
    """Looks at which an interval narrower than any used here leaves out zero: few of thousands."""
    value, variance, effective = first.estimates()
    with np.errstate(divide="ignore", invalid="ignore"):
        if second is not None:
            other, its_variance, its_effective = second.estimates()
            variance = variance / value**2 + its_variance / other**2
            value = np.log(other / value)
            effective = np.minimum(effective, its_effective)
        found: NDArray[np.int64] = np.flatnonzero(
            (effective >= MIN_EFFECTIVE) & (np.abs(value) > _NEARLY * np.sqrt(variance))
        )
    return found


def _peeked(effects: Iterator[tuple[Effect, float, int]]) -> Peeked:
    naive: int | None = None
    for effect, effective, actors in effects:
        decided = effect_verdict(effect, "", actors=actors, effective=effective, least=LEAST)
        if naive is None and effective >= MIN_EFFECTIVE:
            surely = abs(effect.point) > NORMAL_95 * effect.variance**0.5
            naive = actors if surely else None
        if decided.finding in (Conclusion.BETTER, Conclusion.WORSE):
            return Peeked(actors, actors if naive is None else naive, decided.finding)
    return Peeked(None, naive, None)


def false_alarms(crowd: Crowd, times: int, *, seed: int = SEED) -> tuple[float, float]:
    """How many experiments of equal rankings find a difference: by the sequential test, naively."""
    random = np.random.default_rng(seed)
    runs = [between_arms(crowd, 0.0, random) for _ in range(times)]
    return share_of(run.sequential for run in runs), share_of(run.naive for run in runs)


def share_of(stopped: Iterator[int | None]) -> float:
    """How many were stopped."""
    all_of_them = list(stopped)
    return sum(each is not None for each in all_of_them) / len(all_of_them)


def _small(crowd: Crowd, size: Size) -> Crowd:
    return replace(crowd, actors=size.of(crowd.actors, crowd.actors // 10))


def measure(size: Size) -> list[Figure]:
    """Rates of false alarms in each crowd, then power with arms and with interleaved pages."""
    times = size.of(1_000, 5)
    figures = []
    for crowd in (_small(crowd, size) for crowd in CROWDS):
        guarded, naive = false_alarms(crowd, times)
        figures.append(_alarms(crowd.told, guarded, naive, times))
    random = np.random.default_rng(SEED)
    runs = [within_pages(_small(CROWDS[2], size), 0.0, random) for _ in range(times)]
    naive = share_of(run.naive for run in runs)
    figures.append(_alarms("interleaved", share_of(run.sequential for run in runs), naive, times))
    crowd = _small(Crowd(told="coming all the time", actors=40_000, every=100), size)
    for lift in LIFTS:
        figures += _power(crowd, lift, size.of(200, 2))
    return figures


def _alarms(told: str, guarded: float, naive: float, times: int) -> Figure:
    detail = f"{naive:.3f} by a 95 % interval for one look; {times} experiments of equal rankings"
    return ratio(f"false alarms, {told}", guarded, at_most=ALPHA, detail=detail)


def _power(crowd: Crowd, lift: float, times: int) -> Iterator[Figure]:
    for name, simulate in (("two arms", between_arms), ("interleaved", within_pages)):
        random = np.random.default_rng(SEED)
        runs = [simulate(crowd, lift, random) for _ in range(times)]
        found = [run.sequential for run in runs if run.found is Conclusion.BETTER]
        needed = sorted(actors for actors in found if actors is not None)
        median = f"half of these within {needed[len(needed) // 2]} actors" if needed else ""
        yield Figure(
            name=f"found, {name}, {lift:.0%} more clicks",
            value=len(found) / times,
            unit="ratio",
            detail=f"{times} experiments of up to {crowd.actors} actors; {median}",
        )
