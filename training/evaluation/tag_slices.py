"""Tags of queries in, slices by those that are on kinds enough to tell out.

A tag is on whatever its owner likes, so that there may be any number of them: what is told is
bounded, and no gate decides by it (docs/adr/0022).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.training.evaluation.paired import Clusters
from sightline.training.evaluation.strength import Mask

MOST_TAGS = 12
"""No more tags than that are slices, and so many of the others are named."""


@dataclass(frozen=True, slots=True)
class TagSlices:
    """What the tags of some queries make of them."""

    masks: Mapping[str, Mask]
    """(q,) per slice, named `tag …`."""
    small: tuple[tuple[str, int], ...] = ()
    """Tags that are on too few kinds to tell, with how many, the commonest first."""
    more: int = 0
    """So many others would be slices, and are on fewer kinds than those that are."""

    def untold(self) -> str:
        """Which tags are no slices, in one line for a person; nothing: all are."""
        named = ", ".join(f"{tag} ({kinds})" for tag, kinds in self.small[:MOST_TAGS])
        rest = len(self.small) - MOST_TAGS
        parts = [
            f"tags on too few kinds to tell: {named}" if named else "",
            f"and {rest} more" if rest > 0 else "",
            f"{self.more} more tags are large enough, and not shown" if self.more else "",
        ]
        return "; ".join(filter(None, parts))


def tag_slices(tags: Sequence[Iterable[str]], clusters: Clusters, *, least: int) -> TagSlices:
    """The queries of each tag, the tags on most kinds first.

    Args:
        tags: of each of q queries.
        clusters: (q,) the kind of each.
        least: from so many kinds on a tag is a slice.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, names in enumerate(tags):
        for name in set(names):
            rows[name].append(row)
    kinds = {name: len(np.unique(clusters[where])) for name, where in rows.items()}
    ordered = sorted(kinds, key=lambda name: (-kinds[name], name))
    large = [name for name in ordered if kinds[name] >= least]
    numbers = np.arange(len(tags))
    return TagSlices(
        masks={f"tag {name}": np.isin(numbers, rows[name]) for name in large[:MOST_TAGS]},
        small=tuple((name, kinds[name]) for name in ordered[len(large) :]),
        more=max(0, len(large) - MOST_TAGS),
    )
