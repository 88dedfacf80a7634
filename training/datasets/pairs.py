"""Training triples and judgements in, one row per search and preferred image out.

A triple repeats its positive once per negative; a pair has it once, with all its negatives, so that
no click is trained several times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from sightline.engine.label_data.judgements import Grade
from sightline.engine.label_data.propensity import PropensityCurve
from sightline.training.datasets.judgements import verdicts_of
from sightline.training.datasets.triple_rows import NONE, Rows, clicked_rows, judged_rows

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClickPairs:
    """n pairs of an anchor and an image that was preferred for it, each with what was passed over.

    In order of time, then of search, anchor and positive.
    """

    images: tuple[str, ...]
    """Ids, sorted; the numbers below are rows of it."""
    anchor: NDArray[np.int32]
    """(n,) what was asked by; an uploaded query has an id like any image."""
    positive: NDArray[np.int32]
    """(n,) what was preferred."""
    negative_starts: Ints
    """(n + 1,) pair i's negatives are `negatives[negative_starts[i]:negative_starts[i + 1]]`."""
    negatives: NDArray[np.int32]
    """(m,) what was passed over, or judged irrelevant; some pairs have none."""
    weight: NDArray[np.float32]
    """(n,) above 0."""
    grade: NDArray[np.int8]
    """(n,) 2-5."""
    issued_at_ms: Ints
    """(n,) when the search was answered, or the judgement given."""
    search: tuple[str, ...]
    """n search ids; empty: no search, a person judged the image relevant."""

    def __len__(self) -> int:
        """Counts the pairs, judged ones among them."""
        return len(self.anchor)

    def owners(self) -> Ints:
        """(m,) the pair that each of `negatives` belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.negative_starts))

    def chosen(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> ClickPairs:
        """Some of the pairs, by number or by mask, in the order of the numbers."""
        at: Ints = np.arange(len(self))[rows]
        counts = np.diff(self.negative_starts)[at]
        starts = _starts(counts)
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return replace(
            self,
            anchor=self.anchor[at],
            positive=self.positive[at],
            negative_starts=starts,
            negatives=self.negatives[np.repeat(self.negative_starts[:-1][at], counts) + within],
            weight=self.weight[at],
            grade=self.grade[at],
            issued_at_ms=self.issued_at_ms[at],
            search=tuple(self.search[i] for i in at),
        )

    def with_negatives(self, kept: NDArray[np.bool_]) -> ClickPairs:
        """All the pairs, with those of their negatives for which `kept` (m,) is true."""
        counts = np.bincount(self.owners()[kept], minlength=len(self))
        return replace(self, negative_starts=_starts(counts), negatives=self.negatives[kept])

    def among(self, images: Sequence[str]) -> ClickPairs:
        """Number by the rows of `images`; pairs and negatives that it lacks are left out."""
        row = {image: at for at, image in enumerate(images)}
        new = np.asarray([row.get(image, NONE) for image in self.images], np.int32)
        thinned = self.with_negatives(new[self.negatives] != NONE)
        kept = thinned.chosen((new[self.anchor] != NONE) & (new[self.positive] != NONE))
        return replace(
            kept,
            images=tuple(images),
            anchor=new[kept.anchor],
            positive=new[kept.positive],
            negatives=new[kept.negatives],
        )


def pairs_of(
    table: pa.Table,
    judgements: Sequence[Grade] = (),
    *,
    propensity: PropensityCurve | None = None,
) -> ClickPairs:
    """Group triples by search and positive; what people judged overrides what they clicked.

    What was clicked for an anchor by anybody, or judged relevant for it, is no negative of it
    (docs/labels.md, rules 12 and 18); an image judged irrelevant is one of each of its pairs.

    Args:
        table: of `triple_columns.TRIPLES`, each triple once, as `read_triples` gives it.
        judgements: from any time.
        propensity: multiplies each click's weight by that of its place; none: by 1.
    """
    verdicts = verdicts_of(judgements)
    judged_images = {image for pair in verdicts for image in pair}
    images = tuple(sorted({*_ids(table), *judged_images}))
    rows = judged_rows(clicked_rows(table, images, propensity), verdicts, images)
    return _grouped(rows, images)


def _ids(table: pa.Table) -> set[str]:
    return {
        image
        for column in ("anchor_id", "positive_id", "negative_id")
        for image in table[column].unique().to_pylist()
    }


def _grouped(rows: Rows, images: tuple[str, ...]) -> ClickPairs:
    """Sort, and cut where search, anchor or positive changes."""
    of_pair = (rows.positive, rows.anchor, rows.search, rows.issued_at_ms)
    order = np.lexsort((rows.negative, *of_pair))
    sorted_pair = np.stack([column[order] for column in of_pair])
    first = _changes(sorted_pair)
    negative = rows.negative[order]
    kept = (negative != NONE) & (first | _changes(negative[None]))
    owner = np.cumsum(first) - 1
    at = order[first]
    return ClickPairs(
        images=images,
        anchor=rows.anchor[at].astype(np.int32),
        positive=rows.positive[at].astype(np.int32),
        negative_starts=_starts(np.bincount(owner[kept], minlength=len(at))),
        negatives=negative[kept].astype(np.int32),
        weight=rows.weight[at].astype(np.float32),
        grade=rows.grade[at].astype(np.int8),
        issued_at_ms=rows.issued_at_ms[at],
        search=tuple(rows.searches[code] for code in rows.search[at]),
    )


def _changes(columns: Ints) -> NDArray[np.bool_]:
    """(columns, n) to (n,): whether a row differs from the one before; the first does."""
    changed = np.ones(columns.shape[1], bool)
    changed[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    return changed


def _starts(counts: NDArray[np.integer]) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
