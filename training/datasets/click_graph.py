"""Pairs in, who is near whom by clicks out: images that must not count as wrong answers.

Two anchors are two clicks apart where people preferred one and the same image for both. What was
preferred for either is then likely right for the other as well, though nobody said so: in a page or
a batch it looks like a negative and is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from sightline.training.datasets.pairs import ClickPairs, pairs_of

Ints = NDArray[np.int64]
Rows = NDArray[np.integer]
PASSED_OVER, FAR_PASSED_OVER = 5, 2
"""So many searches that pass an image over tell that it is wrong: any image, or one that lies
beyond two clicks. One search tells little where few clicks are known: then most images are far."""
_BLOCK = 256
"""Anchors looked at together, each of which takes a byte per image."""


@dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """For each of r rows some numbers, one after the other (a compressed sparse matrix of ones)."""

    starts: Ints
    """(r + 1,) row i is `columns[starts[i]:starts[i + 1]]`."""
    columns: Ints
    """(entries,) ascending within each row, each once."""

    @classmethod
    def of(cls, rows: Rows, columns: Rows, *, count: int) -> SparseRows:
        """Entries in any order, repeats among them, as `count` rows."""
        entries = np.unique(np.stack([rows, columns]).astype(np.int64), axis=1)
        starts = np.searchsorted(entries[0], np.arange(count + 1))
        return cls(starts, entries[1])

    def __getitem__(self, row: int) -> Ints:
        """One row's numbers, as a view of `columns`."""
        return self.columns[self.starts[row] : self.starts[row + 1]]

    def taken(self, rows: Rows) -> tuple[Ints, Ints]:
        """Every entry of some rows: (which of the rows asked for, its number), both (entries,)."""
        counts = self.starts[rows + 1] - self.starts[rows]
        asked = np.repeat(np.arange(len(rows)), counts)
        nth = np.arange(len(asked)) - np.repeat(np.cumsum(counts) - counts, counts)
        return asked, self.columns[self.starts[rows][asked] + nth]


@dataclass(frozen=True, slots=True, eq=False)
class ClickGraph:
    """Which images were preferred for which anchors, both numbered by rows of the same images."""

    images: int
    """How many images there are."""
    clicked: SparseRows
    """For each image as an anchor: what was preferred for it."""
    clickers: SparseRows
    """For each image: the anchors that it was preferred for."""

    @classmethod
    def of(cls, pairs: ClickPairs) -> ClickGraph:
        """Takes every pair alike, whatever its weight, grade and time."""
        count = len(pairs.images)
        return cls(
            images=count,
            clicked=SparseRows.of(pairs.anchor, pairs.positive, count=count),
            clickers=SparseRows.of(pairs.positive, pairs.anchor, count=count),
        )

    def reach(self, anchors: Rows) -> NDArray[np.bool_]:
        """Which images lie within two clicks of each anchor.

        The anchor itself, what was preferred for it, the anchors that share one of these with it,
        and what was preferred for those.

        Args:
            anchors: (a,) rows.

        Returns:
            (a, images).
        """
        reached = np.zeros((len(anchors), self.images), bool)
        asked, image = self.clicked.taken(anchors)
        via, anchor = self.clickers.taken(image)
        reached[asked[via], anchor] = True
        asked_by, second = np.nonzero(reached)
        via, preferred = self.clicked.taken(second)
        reached[asked_by[via], preferred] = True
        reached[asked, image] = True
        reached[np.arange(len(anchors)), anchors] = True
        return reached

    def within_two(self, anchors: Rows) -> SparseRows:
        """The same as `reach`, as the numbers of the images that lie within, a row per anchor."""
        blocks = [(first, np.nonzero(reached)) for first, _, reached in self._blocks(anchors)]
        rows = [first + row for first, (row, _) in blocks]
        empty = [np.empty(0, np.int64)]
        return SparseRows.of(
            np.concatenate(empty + rows),
            np.concatenate(empty + [image for _, (_, image) in blocks]),
            count=len(anchors),
        )

    def near(self, anchors: Rows, images: Rows) -> NDArray[np.bool_]:
        """Whether images[i] lies within two clicks of anchors[i], (n,)."""
        distinct, which = np.unique(anchors, return_inverse=True)
        answer = np.zeros(len(anchors), bool)
        for first, block, reached in self._blocks(distinct):
            theirs = np.flatnonzero((which >= first) & (which < first + len(block)))
            answer[theirs] = reached[which[theirs] - first, images[theirs]]
        return answer

    def _blocks(self, anchors: Rows) -> Iterator[tuple[int, Rows, NDArray[np.bool_]]]:
        for first in range(0, len(anchors), _BLOCK):
            block = anchors[first : first + _BLOCK]
            yield first, block, self.reach(block)


def certain_negatives(
    pairs: ClickPairs, *, searches: int = PASSED_OVER, far_searches: int = FAR_PASSED_OVER
) -> ClickPairs:
    """All the pairs, without the negatives that may well be right.

    A negative stays if enough searches by its anchor passed it over, of which an image beyond two
    clicks needs fewer: nobody ever preferred it there, as `pairs_of` sees to.

    For who publishes or counts negatives: what stays is nearly always right (docs/labels.md). A
    training takes them all: a mask of what lies near cost it as much as it won
    (docs/adr/0031-walks-on-the-click-graph.md).

    Args:
        pairs: of all clicks that there are.
        searches: how many make up for being near.
        far_searches: how many it takes beyond two clicks.
    """
    anchor = pairs.anchor[pairs.owners()]
    beyond = ~ClickGraph.of(pairs).near(anchor, pairs.negatives)
    times = times_passed_over(pairs)
    return pairs.with_negatives((times >= searches) | (beyond & (times >= far_searches)))


def certain_triples(table: pa.Table, *, far_searches: int = FAR_PASSED_OVER) -> NDArray[np.bool_]:
    """Tell the triples whose negative is a certain one of its anchor, (n,).

    Args:
        table: n triples, each once, of all clicks that there are.
        far_searches: see `certain_negatives`.
    """
    pairs = pairs_of(table)
    kept = certain_negatives(pairs, far_searches=far_searches)
    number = {image: at for at, image in enumerate(pairs.images)}
    anchor, negative = (
        np.asarray([number[image] for image in table[column].to_pylist()], np.int64)
        for column in ("anchor_id", "negative_id")
    )
    count = len(pairs.images)
    certain = kept.anchor[kept.owners()].astype(np.int64) * count + kept.negatives
    return np.isin(anchor * count + negative, certain)


def times_passed_over(pairs: ClickPairs) -> Ints:
    """Counts for each of the m negatives the searches by its anchor that passed it over."""
    owner = pairs.owners()
    search = np.unique(np.asarray(pairs.search, object).astype(str), return_inverse=True)[1].ravel()
    pair = pairs.anchor[owner].astype(np.int64) * len(pairs.images) + pairs.negatives
    codes, which = np.unique(pair, return_inverse=True)
    once = np.unique(np.stack([which.ravel(), search[owner]]), axis=1)[0]
    counts: Ints = np.bincount(once, minlength=len(codes))[which.ravel()]
    return counts
