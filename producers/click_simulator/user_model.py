"""What one simulated visitor does with one page: the stated user model (docs/simulator.md).

A cascade: people look from the top, go on with a fixed patience, click what they see by its
relevance and by chance, and stay longer with what is relevant (cascade model with independent
clicks; N. Craswell et al., "An experimental comparison of click position-bias models", 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp
from random import Random
from typing import NamedTuple

from sightline.schemas.interactions import Kind


class Visitor(StrEnum):
    """Who looks at a page: a person, or one of several kinds of robot."""

    PERSON = "person"
    CRAWLER = "crawler"
    """Opens everything it is shown."""
    HAMMER = "hammer"
    """Clicks a few images over and over."""
    ATTACKER = "attacker"
    """Wants one image to be found for what it does not answer (`attack.py`)."""


@dataclass(frozen=True, kw_only=True)
class UserModel:
    """The numbers of the model; probabilities unless the name says otherwise."""

    patience: float = 0.9
    """Probability that the next position is looked at, once this one was: the position bias."""
    click_relevant: float = 0.55
    """Probability that a relevant image is clicked, once it is looked at."""
    click_irrelevant: float = 0.03
    """Probability that any other image is clicked, once it is looked at: noise."""
    like_relevant: float = 0.08
    """Probability of a like after a click on a relevant image."""
    share_relevant: float = 0.03
    """Probability of a share after a click on a relevant image."""
    convert_relevant: float = 0.05
    """Probability of a conversion after a click on a relevant image."""
    look_ms: float = 1_400.0
    """Mean time that an image is in view."""
    dwell_relevant_ms: float = 25_000.0
    """Median dwell after a click on a relevant image."""
    dwell_irrelevant_ms: float = 4_000.0
    """Median dwell after any other click."""
    dwell_spread: float = 0.8
    """Sigma of the log-normal dwell."""
    dwell_unknown: float = 0.15
    """Probability that a dwell is never reported."""
    hammer_clicks: int = 200
    """Clicks of a hammer on one page."""


class VisitorAct(NamedTuple):
    """One thing that a visitor does; times from the answer."""

    at_ms: int
    kind: Kind
    position: int
    in_view_ms: int | None = None
    dwell_ms: int | None = None


class Visit(NamedTuple):
    """What a visitor did, and the last position that was truly looked at."""

    acts: list[VisitorAct]
    examined: int


def visit(relevance: Sequence[float], visitor: Visitor, model: UserModel, random: Random) -> Visit:
    """One visitor on one page.

    Args:
        relevance: by position from the top, how well the image answers the anchor, from 0 to 1.
        visitor: who looks.
        model: the numbers.
        random: the only source of chance.
    """
    if visitor is Visitor.CRAWLER:
        acts = [VisitorAct(200 * n, Kind.CLICKED, n) for n in range(1, len(relevance) + 1)]
        return Visit(acts, len(relevance))
    if visitor is Visitor.HAMMER:
        return _hammer(len(relevance), model, random)
    return _look(relevance, model, random)


def _hammer(shown: int, model: UserModel, random: Random) -> Visit:
    if not shown:
        return Visit([], 0)
    favourites = [random.randint(1, shown) for _ in range(3)]
    acts = [
        VisitorAct(150 * n, Kind.CLICKED, random.choice(favourites))
        for n in range(model.hammer_clicks)
    ]
    return Visit(acts, max(favourites))


def _look(relevance: Sequence[float], model: UserModel, random: Random) -> Visit:
    acts: list[VisitorAct] = []
    now_ms = 300.0
    examined = 0
    for position, relevant in enumerate(relevance, 1):
        if position > 1 and random.random() > model.patience:
            break
        examined = position
        in_view_ms = round(400 + random.expovariate(1 / model.look_ms))
        acts.append(VisitorAct(round(now_ms), Kind.VIEWED, position, in_view_ms=in_view_ms))
        now_ms += in_view_ms
        click = _between(model.click_irrelevant, model.click_relevant, relevant)
        if random.random() < click:
            now_ms = _click(acts, position, now_ms, model, random, relevant=relevant)
    return Visit(acts, examined)


def _between(irrelevant: float, relevant: float, share: float) -> float:
    """A number of the model for an image that is relevant to this share."""
    return (1 - share) * irrelevant + share * relevant


def _click(
    acts: list[VisitorAct],
    position: int,
    now_ms: float,
    model: UserModel,
    random: Random,
    *,
    relevant: float,
) -> float:
    """Add a click and what follows it; the time when the visitor is back on the page."""
    acts.append(VisitorAct(round(now_ms), Kind.CLICKED, position))
    median = _between(model.dwell_irrelevant_ms, model.dwell_relevant_ms, relevant)
    dwell_ms = round(median * exp(random.gauss(0, model.dwell_spread)))
    back_ms = now_ms + dwell_ms
    if random.random() >= model.dwell_unknown:
        acts.append(VisitorAct(round(back_ms), Kind.VIEWED, position, dwell_ms=dwell_ms))
    follow_ups = (
        (Kind.LIKED, model.like_relevant),
        (Kind.SHARED, model.share_relevant),
        (Kind.CONVERTED, model.convert_relevant),
    )
    for kind, chance in follow_ups if relevant else ():
        if random.random() < relevant * chance:
            acts.append(VisitorAct(round(back_ms), kind, position))
    return back_ms
