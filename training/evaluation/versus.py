"""Scores of one or two models in, the rows of the table that compares them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sightline.training.evaluation.paired import Clusters, Difference, paired_difference
from sightline.training.evaluation.retrieval import QueryScores

SHOWN = ("mAP", "MRR", "precision@1", "precision@10", "recall@24", "ndcg@24")
"""The measures of a table; all of them are in `metrics.json`."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure, of all queries or of a slice of them."""

    name: str
    queries: int
    """Those that have anything to find."""
    before: float | None
    """Mean under the model that is compared with; None: there is none."""
    after: float
    """Mean under the model that is evaluated."""
    difference: Difference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """Two models on the same queries, or one alone."""

    after: QueryScores
    before: QueryScores | None
    clusters: Clusters
    """(q,) what is drawn together for the bounds."""

    def measures(self) -> tuple[Row, ...]:
        """A row for each measure, over all queries."""
        every = np.ones(len(self.after), bool)
        return tuple(self._row(name, name, every) for name in SHOWN)

    def slices(self, masks: Mapping[str, Mask]) -> tuple[Row, ...]:
        """Mean average precision of each slice; the one that moved most comes first."""
        rows = [self._row(f"mAP {name}", "mAP", mask) for name, mask in sorted(masks.items())]
        return tuple(sorted(rows, key=_moved, reverse=True))

    def _row(self, name: str, measure: str, mask: Mask) -> Row:
        after = self.after.at(mask)
        alone = Row(
            name=name,
            queries=int(after.able.sum()),
            before=None,
            after=after.means()[measure],
            difference=None,
        )
        if self.before is None:
            return alone
        before = self.before.at(mask)
        difference = paired_difference(before, after, self.clusters[mask], measure=measure)
        return replace(alone, before=before.means()[measure], difference=difference)


def _moved(row: Row) -> float:
    """How much a row moved, up or down; 0 where nothing is compared."""
    return 0.0 if row.difference is None else abs(row.difference.point)
