"""What is measured of a model before and after it came into service, and whether it fell.

Only what is surely worse counts: a model that is taken back for noise is lost for good.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from sightline.engine.object_store.json_record import StoredValue

LEAST_SEARCHES = 100
"""Answered since the switch, before anything is said of errors."""
LEAST_ERRORS = 0.01
"""A smaller part of searches that fail is no reason to go back."""
LEAST_IMAGES = 20
"""Indexed on the live lane since the switch, before anything is said of freshness."""
LEAST_DELAY_S = 1.0
"""A shorter mean time until an image is found is no reason to go back."""
CERTAIN = 3.0
"""Standard errors that the clicks must be apart by: somebody looks again and again."""
CLICKS_TOGETHER = 2.0
"""How much more click counts vary than those of independent clicks: one person makes several."""

_Count = Annotated[int, Field(ge=0)]


class ServingFigures(StoredValue):
    """Sums over a span of time in which one model answered; zeros tell nothing."""

    searches: _Count = 0
    """Searches that this process answered, or failed to answer."""
    failed: _Count = 0
    """How many of these were answered with a status of 500 or more."""
    images: _Count = 0
    """Images of the live lane that searches can find, counted in this process."""
    delay_s: Annotated[float, Field(ge=0)] = 0.0
    """The sum of what they waited for that since the log had them."""
    shown: _Count = 0
    """Results of closed searches, in the whole deployment."""
    clicked: _Count = 0
    """How many of these results were clicked."""


def fallen(before: ServingFigures, after: ServingFigures, margin: float) -> str:
    """Why a model must go, for a person; empty: nothing speaks against it.

    Args:
        before: of what served until then.
        after: of the model, since it serves.
        margin: how much worse it may be, as a part of what was before, such as 0.2.
    """
    found = (
        _errors(before, after, margin),
        _delays(before, after, margin),
        _clicks(before, after, margin),
    )
    return "; ".join(each for each in found if each)


def _errors(before: ServingFigures, after: ServingFigures, margin: float) -> str:
    if after.searches < LEAST_SEARCHES:
        return ""
    was, now = _part(before.failed, before.searches), _part(after.failed, after.searches)
    if now <= max(was * (1 + margin), LEAST_ERRORS):
        return ""
    return f"errors: {now:.2%} of {after.searches} searches fail, {was:.2%} did before"


def _delays(before: ServingFigures, after: ServingFigures, margin: float) -> str:
    if after.images < LEAST_IMAGES or before.images < LEAST_IMAGES:
        return ""
    was, now = before.delay_s / before.images, after.delay_s / after.images
    if now <= max(was * (1 + margin), LEAST_DELAY_S):
        return ""
    return f"freshness: an image is found after {now:.2f} s in the mean, {was:.2f} s before"


def _clicks(before: ServingFigures, after: ServingFigures, margin: float) -> str:
    """Too few clicks, by more than the counts of both spans vary by chance."""
    if not before.clicked or not after.shown:
        return ""
    was = before.clicked / before.shown
    expected = was * after.shown
    error = math.sqrt(CLICKS_TOGETHER * (expected + expected**2 / before.clicked))
    fell = after.clicked < (1 - margin) * expected
    if not fell or expected - after.clicked < CERTAIN * error:
        return ""
    now = after.clicked / after.shown
    return f"CTR: {now:.4f} over {after.shown} results, {was:.4f} before"


def _part(some: int, of: int) -> float:
    return some / of if of else 0.0
