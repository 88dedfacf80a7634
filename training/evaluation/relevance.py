"""What is known about queries and pictures in, grades of every picture for some queries out.

Grades are 0-5 as in docs/labels.md; what nobody judged is 0. Ground truth comes in two forms: equal
labels, and single judgements (or held-out clicks) of pairs. Both give their grades a block of
queries at a time, so that nothing of the size queries x gallery ever exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sightline.schemas.judgements import MAX_GRADE

Grades = NDArray[np.int8]
Rows = NDArray[np.int32]
NO_ROW = -1
RELEVANT_GRADE = 4
"""From this grade on a picture counts as relevant where a measure knows only yes and no."""


class Relevance(Protocol):
    """Says how well each picture of a gallery answers each query."""

    @property
    def queries(self) -> int:
        """How many queries the truth is about: q."""

    @property
    def gallery(self) -> int:
        """How many pictures each of them is ranked against: g."""

    def grades(self, first: int, last: int) -> Grades:
        """Grades 0-5 of the whole gallery for the queries [first, last): int8 (last - first, g)."""

    def own_rows(self, first: int, last: int) -> Rows:
        """The gallery row that is the query itself, never a result; -1: none. (last - first,)."""


@dataclass(frozen=True, slots=True)
class EqualLabels:
    """Pictures of a query's own label are relevant (grade 5), all others are not (grade 0)."""

    query_labels: NDArray[np.int64]
    """(q,) numbers that stand for labels."""
    gallery_labels: NDArray[np.int64]
    """(g,) the same numbers."""
    own: Rows
    """(q,) the query's own row in the gallery, -1: it is not there."""

    @classmethod
    def of(
        cls, query_labels: Sequence[str], gallery_labels: Sequence[str], own: Rows | None = None
    ) -> Self:
        """Numbers the labels; without `own` no query is in the gallery."""
        every = np.asarray([*query_labels, *gallery_labels])
        numbers = np.unique(every, return_inverse=True)[1].astype(np.int64)
        count = len(query_labels)
        return cls(numbers[:count], numbers[count:], _none(count) if own is None else own)

    @property
    def queries(self) -> int:
        """See `Relevance.queries`."""
        return len(self.query_labels)

    @property
    def gallery(self) -> int:
        """See `Relevance.gallery`."""
        return len(self.gallery_labels)

    def grades(self, first: int, last: int) -> Grades:
        """See `Relevance.grades`."""
        equal = self.query_labels[first:last, None] == self.gallery_labels[None, :]
        return np.where(equal, np.int8(MAX_GRADE), np.int8(0))

    def own_rows(self, first: int, last: int) -> Rows:
        """See `Relevance.own_rows`."""
        return self.own[first:last]


@dataclass(frozen=True, slots=True)
class JudgedPairs:
    """Grades of single pairs, sorted by query: judgements of people, or what was clicked."""

    starts: NDArray[np.int64]
    """(q + 1,): the pairs of query i are [starts[i], starts[i + 1])."""
    rows: Rows
    """(n,) gallery rows."""
    given: Grades
    """(n,) their grades."""
    gallery: int
    """How many pictures the gallery has."""
    own: Rows
    """(q,) the query's own row in the gallery, -1: it is not there."""

    @classmethod
    def of(
        cls,
        pairs: Iterable[tuple[int, int, int]],
        *,
        queries: int,
        gallery: int,
        own: Rows | None = None,
    ) -> Self:
        """From (query, gallery row, grade) in any order; of a repeated pair the highest holds."""
        ordered = np.asarray(sorted(pairs), np.int64).reshape(-1, 3)
        starts = np.searchsorted(ordered[:, 0], np.arange(queries + 1)).astype(np.int64)
        given = ordered[:, 2].astype(np.int8)
        own = _none(queries) if own is None else own
        return cls(starts, ordered[:, 1].astype(np.int32), given, gallery, own)

    @property
    def queries(self) -> int:
        """See `Relevance.queries`."""
        return len(self.own)

    def at(self, queries: NDArray[np.integer]) -> Self:
        """What is known of some of the queries, in the order of their numbers here."""
        counts = np.diff(self.starts)[queries]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        kept = np.arange(starts[-1]) + np.repeat(self.starts[queries] - starts[:-1], counts)
        return type(self)(
            starts, self.rows[kept], self.given[kept], self.gallery, self.own[queries]
        )

    def grades(self, first: int, last: int) -> Grades:
        """See `Relevance.grades`."""
        begin, end = self.starts[first], self.starts[last]
        counts = np.diff(self.starts[first : last + 1])
        table = np.zeros((last - first, self.gallery), np.int8)
        # Grades of a repeated pair ascend, and numpy keeps the last that is assigned.
        table[np.repeat(np.arange(last - first), counts), self.rows[begin:end]] = self.given[
            begin:end
        ]
        return table

    def own_rows(self, first: int, last: int) -> Rows:
        """See `Relevance.own_rows`."""
        return self.own[first:last]


def _none(count: int) -> Rows:
    return np.full(count, NO_ROW, np.int32)
