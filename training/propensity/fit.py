"""Position bias from the same image at different places for the same anchor.

Under the position-based model a click is examination times relevance, and relevance depends on
(anchor, image) alone. So of the pairs that were shown both at place k and at place l, the ratio of
their click rates there is the ratio of the examination probabilities: intervention harvesting, from
whatever moved an image, be it chance (`engine/exploration.py`) or another model (A. Agarwal,
I. Zaitsev, X. Wang, C. Li, M. Najork, T. Joachims, "Estimating Position Bias without Intrusive
Interventions", WSDM 2019). Like their all-pairs estimator this uses every pair of places, here by
weighted least squares on the logarithms of the ratios: log p_k - log p_l, weight
1 / (1/c_k + 1/c_l) by the clicks behind it, and p_1 = 1.

Each (anchor, image) counts with its mean click rate at each of the two places, however often it was
shown (their weights 1/w). Intervals: bootstrap over anchors. A place is not fitted, and weighs 1,
where too few pairs or clicks tie it to place 1, or its interval is too wide to use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from sightline.engine.label_data.propensity import PositionBias, PropensityCurve
from sightline.training.propensity.views import Views

METHOD = "intervention harvesting, all pairs, log-ratio weighted least squares (WSDM 2019)"
MOST_MISSING = 0.1
"""A place that was not tied to the first in more of the draws has no interval."""
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """What is enough, and what is too much."""

    max_weight: float = 10.0
    """Propensities below its inverse are clipped."""
    min_pairs: int = 50
    """(anchor, image) pairs shown at this place and at another."""
    min_clicks: int = 30
    """On them at this place."""
    max_spread: float = 3.0
    """Upper end of the interval divided by the lower."""
    bootstrap: int = 200
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Harvest:
    """One row per (anchor, image) and pair of places at which it was shown."""

    anchor: Ints
    """Number of its anchor, for the bootstrap."""
    low: Ints
    """The upper of the two places, from 0."""
    high: Ints
    """The lower of the two places, from 0."""
    rate_low: Floats
    """Its click rate at the first, …"""
    rate_high: Floats
    """… and at the second."""
    anchors: int
    places: int


def harvest(views: Views) -> Harvest:
    """Every (anchor, image) that was seen at several places, once per pair of them."""
    numbers: dict[str, int] = {}
    rows = [
        (numbers.setdefault(anchor, len(numbers)), *pair)
        for (anchor, _), places in sorted(views.images.items())
        for pair in _pairs(places)
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    return Harvest(
        anchor=np.asarray(columns[0], np.int64),
        low=np.asarray(columns[1], np.int64),
        high=np.asarray(columns[2], np.int64),
        rate_low=np.asarray(columns[3], np.float64),
        rate_high=np.asarray(columns[4], np.float64),
        anchors=len(numbers),
        places=max((max(places) for places in views.images.values()), default=1),
    )


def _pairs(places: dict[int, tuple[int, int]]) -> Iterator[tuple[int, int, float, float]]:
    ordered = sorted((at, clicked / shown) for at, (shown, clicked) in places.items())
    for index, (low, rate_low) in enumerate(ordered):
        for high, rate_high in ordered[index + 1 :]:
            yield low - 1, high - 1, rate_low, rate_high


def log_bias(data: Harvest, weights: Floats) -> Floats:
    """Log p per place, p of place 1 being 1; NaN where nothing ties a place to the first.

    Args:
        data: n rows.
        weights: float (n,), how often each row counts.

    Returns:
        float (places,).
    """
    size = data.places
    pair = data.low * size + data.high
    clicks_low = np.bincount(pair, weights * data.rate_low, size * size).reshape(size, size)
    clicks_high = np.bincount(pair, weights * data.rate_high, size * size).reshape(size, size)
    usable = (clicks_low > 0) & (clicks_high > 0)
    lows, highs = np.nonzero(usable)
    first, second = clicks_low[usable], clicks_high[usable]
    strength = first * second / (first + second)
    tied = _tied_to_first(lows, highs, size)
    keep = tied[lows] & tied[highs]
    return _solved(lows[keep], highs[keep], np.log(second / first)[keep], strength[keep], tied)


def _tied_to_first(lows: Ints, highs: Ints, size: int) -> NDArray[np.bool_]:
    tied = np.zeros(size, bool)
    tied[0] = True
    for _ in range(size):
        reached = tied.copy()
        reached[highs[tied[lows]]] = True
        reached[lows[tied[highs]]] = True
        if np.array_equal(reached, tied):
            break
        tied = reached
    return tied


def _solved(
    lows: Ints, highs: Ints, ratios: Floats, strength: Floats, tied: NDArray[np.bool_]
) -> Floats:
    """Normal equations of a weighted graph: its Laplacian without the first place."""
    size = len(tied)
    laplacian, right = np.zeros((size, size)), np.zeros(size)
    np.add.at(laplacian, (lows, lows), strength)
    np.add.at(laplacian, (highs, highs), strength)
    np.add.at(laplacian, (lows, highs), -strength)
    np.add.at(laplacian, (highs, lows), -strength)
    np.add.at(right, highs, strength * ratios)
    np.add.at(right, lows, -strength * ratios)
    answer = np.full(size, np.nan)
    answer[0] = 0.0
    rest = np.flatnonzero(tied)[1:]
    if len(rest):
        answer[rest] = np.linalg.solve(laplacian[np.ix_(rest, rest)], right[rest])
    return answer


def fit(
    views: Views, settings: FitSettings, *, now: datetime, topics: tuple[str, ...]
) -> PropensityCurve:
    """The curve, with version 0: `store_curve` gives it one.

    Args:
        views: what was shown and clicked.
        settings: what is enough.
        now: when this is done.
        topics: where the views come from.
    """
    data = harvest(views)
    point = np.exp(log_bias(data, np.ones(len(data.anchor))))
    low, high = _intervals(data, settings)
    pairs, clicks = _evidence(views, data.places)
    places = tuple(
        _place(at, point[at], (low[at], high[at]), (int(pairs[at]), int(clicks[at])), settings)
        for at in range(data.places)
    )
    return PropensityCurve(
        method=METHOD,
        fitted_at=now,
        source_topics=topics,
        first_epoch=views.first_epoch,
        last_epoch=views.last_epoch,
        searches=views.searches,
        explored=views.explored,
        anchors=data.anchors,
        pairs=sum(len(places) > 1 for places in views.images.values()),
        max_weight=settings.max_weight,
        bootstrap=settings.bootstrap,
        seed=settings.seed,
        positions=places,
    )


def _intervals(data: Harvest, settings: FitSettings) -> tuple[Floats, Floats]:
    """2.5 % and 97.5 % per place; NaN where too few draws tied a place to the first."""
    if not data.anchors:
        return np.full(data.places, np.nan), np.full(data.places, np.nan)
    random = np.random.default_rng(settings.seed)
    share = np.full(data.anchors, 1 / data.anchors)
    draws = np.stack(
        [
            log_bias(data, random.multinomial(data.anchors, share)[data.anchor].astype(np.float64))
            for _ in range(settings.bootstrap)
        ]
    )
    missing = np.isnan(draws).mean(axis=0) > MOST_MISSING
    draws = np.where(np.isnan(draws), 0.0, draws)
    low, high = np.exp(np.quantile(draws, (0.025, 0.975), axis=0))
    return np.where(missing, np.nan, low), np.where(missing, np.nan, high)


def _evidence(views: Views, places: int) -> tuple[Ints, Ints]:
    pairs, clicks = np.zeros(places, np.int64), np.zeros(places, np.int64)
    for shown_at in views.images.values():
        if len(shown_at) > 1:
            for position, (_, clicked) in shown_at.items():
                pairs[position - 1] += 1
                clicks[position - 1] += clicked
    return pairs, clicks


def _place(
    at: int,
    propensity: float,
    interval: tuple[float, float],
    evidence: tuple[int, int],
    settings: FitSettings,
) -> PositionBias:
    low, high = interval
    pairs, clicks = evidence
    known = bool(np.isfinite((propensity, low, high)).all())
    numbers = {"propensity": float(propensity), "low": float(low), "high": float(high)}
    told = {"position": at + 1, "pairs": pairs, "clicks": clicks} | (numbers if known else {})
    why = _too_little(at, high / low if known else None, evidence, settings)
    if why is not None:
        return PositionBias(fitted=False, why=why, **told)
    weight = min(settings.max_weight, max(1.0 / settings.max_weight, 1.0 / propensity))
    return PositionBias(fitted=True, weight=round(float(weight), 6), **told)


def _too_little(
    at: int, spread: float | None, evidence: tuple[int, int], settings: FitSettings
) -> str | None:
    """What is missing for this place; None: nothing."""
    pairs, clicks = evidence
    if pairs < settings.min_pairs:
        return f"{pairs} images were also shown elsewhere, {settings.min_pairs} are needed"
    if clicks < settings.min_clicks:
        return f"{clicks} clicks on such images, {settings.min_clicks} are needed"
    if spread is None:
        return "no images tie this place to the first"
    if at and spread > settings.max_spread:
        return f"the interval spans a factor of {spread:.1f}, at most {settings.max_spread:g}"
    return None
