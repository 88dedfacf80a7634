"""Pairs in, further images that are likely right for their anchors out: walks of three clicks.

What is clicked stood on a page, so it is near its anchor already, and teaches little. A walk goes
on from there: to an anchor that shares the preferred image, and to what was preferred for that one.
Its end is within two clicks, and often far away in the space that is to be improved. The more pairs
join two images, the likelier a walk leads from one to the other, so that a wrong click misleads few
walks (docs/adr/0031-walks-on-the-click-graph.md).

Source: Craswell and Szummer, "Random Walks on the Click Graph", SIGIR 2007.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.training.datasets.pairs import ClickPairs

Ints = NDArray[np.int64]


class ClickWalks:
    """Draws the ends of walks over one data set; each pair is as likely to be walked as any other.

    Args:
        pairs: at least one, numbered by the rows of the same images.
    """

    def __init__(self, pairs: ClickPairs) -> None:
        self._pairs = pairs
        self._by_anchor = _Grouped(pairs.anchor, len(pairs.images))
        self._by_positive = _Grouped(pairs.positive, len(pairs.images))

    def ends(self, rows: Ints, random: np.random.Generator) -> NDArray[np.int32]:
        """Walk on from some pairs.

        A walk that comes back to its anchor, or ends at what the pair's search passed over or
        people judged irrelevant, ends at the pair's own positive instead.

        Args:
            rows: (b,) pairs.
            random: draws the ways.

        Returns:
            (b,) images.
        """
        pairs = self._pairs
        shared = self._by_positive.one(pairs.positive[rows], random)
        ends = pairs.positive[self._by_anchor.one(pairs.anchor[shared], random)]
        wrong = (ends == pairs.anchor[rows]) | self._passed_over(rows, ends)
        return np.where(wrong, pairs.positive[rows], ends)

    def _passed_over(self, rows: Ints, images: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether images[i] is a negative of pair rows[i], (b,)."""
        taught = self._pairs.chosen(rows)
        owner = taught.owners()
        return np.bincount(owner, taught.negatives == images[owner], minlength=len(rows)) > 0


class _Grouped:
    """The places of each number in a column, to draw one of them."""

    def __init__(self, column: NDArray[np.int32], count: int) -> None:
        self._order = np.argsort(column, kind="stable")
        self._starts = np.searchsorted(column[self._order], np.arange(count + 1))

    def one(self, numbers: NDArray[np.int32], random: np.random.Generator) -> Ints:
        """A random place of each number, all of which the column has."""
        first = self._starts[numbers]
        place: Ints = self._order[first + random.integers(0, self._starts[numbers + 1] - first)]
        return place
