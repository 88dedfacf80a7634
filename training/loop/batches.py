"""Pairs in, the batch of each step out: who asks, who may answer, and what is no wrong answer.

A batch depends on the seed and the step's number alone, so that training goes on after a kill as if
nothing had happened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.engine.pictures.hash_words import Words
from sightline.training.datasets.click_graph import ClickGraph
from sightline.training.datasets.click_walks import ClickWalks
from sightline.training.datasets.look_alikes import alike
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.loop.settings import HeadSettings

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """b anchors and c candidates, as rows of the pictures; anchor i prefers candidate i."""

    anchor: Ints
    """(b,)."""
    candidates: Ints
    """(c,): b positives, then what their searches passed over, then random pictures."""
    masked: NDArray[np.bool_]
    """(b, c): no negative of this anchor."""
    weight: NDArray[np.float32]
    """(b,)."""


class Batches:
    """Draws batches of one data set.

    Args:
        pairs: at least one; `images` are the pictures, row by row.
        hashes: (images, 4) of the pictures.
        settings: seed, sizes and masks.
    """

    def __init__(self, pairs: ClickPairs, hashes: Words, settings: HeadSettings) -> None:
        self._pairs = pairs
        self._hashes = hashes
        self._settings = settings
        self._near = ClickGraph.of(pairs) if settings.click_mask else None
        self._walks = ClickWalks(pairs) if settings.click_walk else None
        self._cumulated = np.cumsum(chances(pairs, balance=settings.balance))

    def draw(self, step: int) -> Batch:
        """The batch of a step; equal for equal seeds and steps."""
        random = np.random.default_rng((self._settings.seed, step))
        drawn = random.random(self._settings.batch) * self._cumulated[-1]
        rows = np.searchsorted(self._cumulated, drawn, side="right")
        anchor = self._pairs.anchor[rows].astype(np.int64)
        positive = self._preferred(rows, random)
        candidates = np.concatenate(
            [
                positive,
                self._passed_over(rows, random),
                random.integers(0, len(self._pairs.images), self._settings.corpus),
            ]
        ).astype(np.int64)
        masked = self._masked(anchor, positive, candidates)
        return Batch(
            anchor=anchor,
            candidates=candidates,
            masked=masked,
            weight=self._pairs.weight[rows],
        )

    def _preferred(self, rows: Ints, random: np.random.Generator) -> NDArray[np.int32]:
        """What each pair's anchor prefers: what a walk from the pair ends at, or its own image."""
        if self._walks is None:
            return self._pairs.positive[rows]
        return self._walks.ends(rows, random)

    def _passed_over(self, rows: Ints, random: np.random.Generator) -> NDArray[np.int32]:
        """Up to `mined` negatives of each pair, from a random one on, around its end."""
        starts = self._pairs.negative_starts
        counts = starts[rows + 1] - starts[rows]
        first = random.integers(0, np.maximum(counts, 1))
        nth = np.arange(self._settings.mined)[None, :]
        at = starts[rows][:, None] + (first[:, None] + nth) % np.maximum(counts, 1)[:, None]
        taken: NDArray[np.int32] = self._pairs.negatives[at[nth < counts[:, None]]]
        return taken

    def _masked(
        self, anchor: Ints, positive: NDArray[np.int32], candidates: Ints
    ) -> NDArray[np.bool_]:
        """Itself, its positive, what looks like either; what lies within two clicks, if wanted."""
        masked = np.zeros((len(anchor), len(candidates)), np.bool_)
        for shown in (anchor, positive):
            if self._settings.identity_mask:
                masked |= candidates == shown[:, None]
            masked |= alike(
                self._hashes[shown],
                self._hashes[candidates],
                bits=self._settings.near_duplicate_bits,
            )
        if self._near is not None:
            masked |= self._near.reach(anchor)[:, candidates]
        masked[np.arange(len(anchor)), np.arange(len(anchor))] = False
        return masked


def chances(pairs: ClickPairs, *, balance: float) -> NDArray[np.float64]:
    """How often each pair is drawn, up to a factor: (its anchor's number of pairs)^-balance."""
    counts = np.bincount(pairs.anchor, minlength=len(pairs.images))
    return counts[pairs.anchor].astype(np.float64) ** -balance
