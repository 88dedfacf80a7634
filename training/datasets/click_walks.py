"""Pairs in, further images that are likely right for their anchors out: walks on the click graph.

What is clicked stood on a page, so it is near its anchor already, and teaches little. A walk goes
on from there: to an anchor that shares the preferred image, and to what was preferred for that one.
Its end is often far away in the space that is to be improved. The more pairs join two images, the
likelier a walk leads from one to the other, so that a wrong click misleads few walks. Over what two
searches or more agree on walks are long, elsewhere they are short
(docs/adr/0031-walks-on-the-click-graph.md).

Source: Craswell and Szummer, "Random Walks on the Click Graph", SIGIR 2007.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.training.datasets.pairs import ClickPairs

Ints = NDArray[np.int64]
Images = NDArray[np.int32]
LEGS = 4
"""So many times two clicks does a walk go on over agreed pairs."""


class ClickWalks:
    """Draws the ends of walks over one data set; each pair is as likely to be walked as any other.

    Args:
        pairs: at least one, numbered by the rows of the same images.
    """

    def __init__(self, pairs: ClickPairs) -> None:
        self._pairs = pairs
        self._every = _Ways(pairs)
        self._agreed = _Ways(pairs.chosen(agreed(pairs)))

    def ends(self, rows: Ints, random: np.random.Generator) -> Images:
        """Walk on from some pairs: `LEGS` times where searches agree on the image, else once.

        A walk that comes back to its anchor, or ends at what the pair's search passed over or
        people judged irrelevant, ends at the pair's own positive instead.

        Args:
            rows: (b,) pairs.
            random: draws the ways.

        Returns:
            (b,) images.
        """
        anchor, own = self._pairs.anchor[rows], self._pairs.positive[rows]
        ends = own
        for _ in range(LEGS):
            ends = self._agreed.on(ends, random)
        ends = np.where(self._agreed.known(own), ends, self._every.on(own, random))
        wrong = (ends == anchor) | self._passed_over(rows, ends)
        return np.where(wrong, own, ends)

    def _passed_over(self, rows: Ints, images: Images) -> NDArray[np.bool_]:
        """Whether images[i] is a negative of pair rows[i], (b,)."""
        taught = self._pairs.chosen(rows)
        owner = taught.owners()
        return np.bincount(owner, taught.negatives == images[owner], minlength=len(rows)) > 0


def agreed(pairs: ClickPairs) -> Ints:
    """The pairs whose two images other pairs join as well: a wrong click is rarely made twice."""
    joined = pairs.anchor.astype(np.int64) * len(pairs.images) + pairs.positive
    _, which, counts = np.unique(joined, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[which] > 1)


class _Ways:
    """Leads from a preferred image to what an anchor that shares it prefers."""

    def __init__(self, pairs: ClickPairs) -> None:
        self._pairs = pairs
        self._by_anchor = _Grouped(pairs.anchor, len(pairs.images))
        self._by_positive = _Grouped(pairs.positive, len(pairs.images))

    def known(self, images: Images) -> NDArray[np.bool_]:
        """Which of the images any way leads on from."""
        return self._by_positive.count(images) > 0

    def on(self, images: Images, random: np.random.Generator) -> Images:
        """Two clicks further each; where there is no way, the same image."""
        led = np.flatnonzero(self.known(images))
        shared = self._pairs.anchor[self._by_positive.one(images[led], random)]
        ends = images.copy()
        ends[led] = self._pairs.positive[self._by_anchor.one(shared, random)]
        return ends


class _Grouped:
    """The places of each number in a column, to draw one of them."""

    def __init__(self, column: Images, count: int) -> None:
        self._order = np.argsort(column, kind="stable")
        self._starts = np.searchsorted(column[self._order], np.arange(count + 1))

    def count(self, numbers: Images) -> Ints:
        """Counts the places of each number; 0 where the column lacks it."""
        counts: Ints = self._starts[numbers + 1] - self._starts[numbers]
        return counts

    def one(self, numbers: Images, random: np.random.Generator) -> Ints:
        """A random place of each number, all of which the column has."""
        place: Ints = self._order[self._starts[numbers] + random.integers(0, self.count(numbers))]
        return place
