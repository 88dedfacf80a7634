"""A page in, the same page a little out of order out: what stands where is left to chance.

As long as every search for one thing shows one page, nobody can tell whether people passed a place
over, or what stands there. Neighbours that change places tell it, since the same image is then seen
at two of them, and people hardly notice: F. Radlinski, T. Joachims, "Minimally Invasive
Randomization for Collecting Unbiased Preferences from Clickthrough Logs" (AAAI 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")
_EXPLORED = ".explored"
_HALF = 0.5


def explored_variant(variant: str) -> str:
    """Names the arm of the searches whose pages were varied: an arm of an experiment, like any."""
    return variant + _EXPLORED


def is_explored(variant: str) -> bool:
    """Whether an impression says that its page was varied."""
    return variant.endswith(_EXPLORED)


def swapped(page: Sequence[T], random: Random) -> tuple[T, ...]:
    """The results with neighbours in each other's places, each pair as likely as not.

    Places 1 and 2, 3 and 4 and so on are pairs, or, as likely, 2 and 3, 4 and 5 and so on: so each
    place is compared with both that are next to it, and nothing moves by more than one.
    """
    order = list(page)
    for at in range(random.randrange(2), len(order) - 1, 2):
        if random.random() < _HALF:
            order[at], order[at + 1] = order[at + 1], order[at]
    return tuple(order)


def with_newcomer(page: Sequence[T], newcomers: Sequence[T], random: Random) -> tuple[T, ...]:
    """The results with one of the newcomers at any place but the first, and without the last.

    What stood there, and all below it, moves down by one. Without a newcomer, or with one result
    alone, the page is as it was.
    """
    if not newcomers or len(page) < 2:  # noqa: PLR2004 - the first keeps its place
        return tuple(page)
    place = random.randrange(1, len(page))
    return (*page[:place], random.choice(newcomers), *page[place:-1])
