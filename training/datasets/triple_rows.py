"""Triples and verdicts as numbered rows, one per (search, positive, negative), guards applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from sightline.engine.label_data.judgements import Pair
from sightline.engine.label_data.propensity import PropensityCurve
from sightline.training.datasets.judgements import JudgesVerdict

NONE = -1
"""No image: a row says that the positive was preferred, and over nothing."""
JUDGED = ""
"""The search of a pair that somebody judged."""
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Columns of equal length; images and searches by number, in the order of their ids."""

    searches: tuple[str, ...]
    search: Ints
    anchor: Ints
    positive: Ints
    negative: Ints
    """`NONE` where nothing was passed over."""
    issued_at_ms: Ints
    grade: Ints
    weight: NDArray[np.float64]

    def chosen(self, kept: NDArray[np.bool_] | Ints) -> Rows:
        """Takes rows by mask or number; a number may come several times."""
        columns = {name: getattr(self, name)[kept] for name in _COLUMNS}
        return Rows(searches=self.searches, **columns)

    def over(self, negative: Ints) -> Rows:
        """The same rows with other negatives, one each."""
        return replace(self, negative=negative)

    def joined(self, other: Rows) -> Rows:
        """Both, one after the other; of the same searches."""
        columns = {
            name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _COLUMNS
        }
        return Rows(searches=self.searches, **columns)


_COLUMNS = tuple(field.name for field in fields(Rows) if field.name != "searches")


def clicked_rows(
    table: pa.Table, images: Sequence[str], propensity: PropensityCurve | None
) -> Rows:
    """A row per triple, in any order.

    Args:
        table: of `triple_columns.TRIPLES`.
        images: all ids in it, sorted.
        propensity: gives each place's weight; none: 1.
    """
    searches = tuple(sorted({JUDGED, *table["search_id"].unique().to_pylist()}))
    weight = table["sampling_weight"].to_numpy()
    if propensity is not None:
        positions, at = np.unique(table["positive_position"].to_numpy(), return_inverse=True)
        weight = weight * np.asarray([propensity.weight(int(place)) for place in positions])[at]
    return Rows(
        searches=searches,
        search=_codes(table["search_id"], searches),
        anchor=_codes(table["anchor_id"], images),
        positive=_codes(table["positive_id"], images),
        negative=_codes(table["negative_id"], images),
        issued_at_ms=table["issued_at"].cast(pa.int64()).to_numpy() // 1000,
        grade=table["grade"].to_numpy().astype(np.int64),
        weight=weight,
    )


def judged_rows(
    clicked: Rows, verdicts: Mapping[Pair, JudgesVerdict], images: Sequence[str]
) -> Rows:
    """Drop, mend and add rows as judgements and everybody's clicks demand (`pairs_of`)."""
    code = {image: at for at, image in enumerate(images)}
    numbered = {(code[a], code[i]): verdict for (a, i), verdict in sorted(verdicts.items())}
    relevant = {pair: verdict for pair, verdict in numbered.items() if verdict.relevant}
    irrelevant = [pair for pair, verdict in numbered.items() if verdict.irrelevant]
    size = len(images)
    kept = ~np.isin(_keys(clicked.anchor, clicked.positive, size), _pair_keys(irrelevant, size))
    preferred = clicked.chosen(kept).joined(_preferred(relevant, clicked.searches))
    guarded = _without_positives(preferred, size)
    return guarded.joined(_explicit(guarded, irrelevant))


def _preferred(
    relevant: Mapping[tuple[int, int], JudgesVerdict], searches: tuple[str, ...]
) -> Rows:
    """A row for each image that was judged relevant, without a negative."""
    count = len(relevant)
    anchor, positive = _columns(list(relevant))
    return Rows(
        searches=searches,
        search=np.full(count, searches.index(JUDGED)),
        anchor=anchor,
        positive=positive,
        negative=np.full(count, NONE),
        issued_at_ms=np.asarray([v.judged_at_ms for v in relevant.values()], np.int64),
        grade=np.asarray([round(v.grade) for v in relevant.values()], np.int64),
        weight=np.ones(count),
    )


def _without_positives(rows: Rows, size: int) -> Rows:
    """No row's negative is an image that was preferred for the same anchor in any row."""
    positives = _keys(rows.anchor, rows.positive, size)
    wrong = np.isin(_keys(rows.anchor, rows.negative, size), positives)
    return rows.over(np.where(wrong, NONE, rows.negative))


def _explicit(rows: Rows, irrelevant: Sequence[tuple[int, int]]) -> Rows:
    """For every pair of a judged anchor one more row per image that was judged irrelevant."""
    judged_anchor, judged_image = _columns(irrelevant)
    theirs = rows.chosen(np.isin(rows.anchor, judged_anchor))
    of_pair = np.stack([theirs.issued_at_ms, theirs.search, theirs.anchor, theirs.positive])
    pairs = theirs.chosen(np.unique(of_pair, axis=1, return_index=True)[1])
    low = np.searchsorted(judged_anchor, pairs.anchor, "left")
    counts = np.searchsorted(judged_anchor, pairs.anchor, "right") - low
    at = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
    return pairs.chosen(at).over(judged_image[low[at] + nth])


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[Ints, Ints]:
    both = np.asarray(pairs, np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _pair_keys(pairs: Sequence[tuple[int, int]], size: int) -> Ints:
    return _keys(*_columns(pairs), size)


def _keys(anchor: Ints, image: Ints, size: int) -> Ints:
    """One number per (anchor, image), `NONE` included."""
    return anchor * (size + 1) + image


def _codes(column: pa.ChunkedArray, ids: Sequence[str]) -> Ints:
    found: Ints = pc.index_in(column, value_set=pa.array(ids, pa.string())).to_numpy()
    return found.astype(np.int64)
