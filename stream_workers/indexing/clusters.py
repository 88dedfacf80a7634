"""New pictures in, the clusters of look-alikes that they join out (docs/adr/0017).

Of a sample it tells how far they are from what is listed (docs/metrics.md, drift).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sightline.engine.errors import Part
from sightline.engine.pictures.near_duplicates import cluster_of, hash_bits
from sightline.engine.ports import VectorIndex
from sightline.engine.records import Likeness, SearchRequest
from sightline.schemas.indexed import Lane
from sightline.stream_workers.indexing.context import StageContext

_NEIGHBOURS = 3
"""Look-alikes are the nearest of all; a few are enough to find the cluster that they are in."""
_SAMPLED = 16
"""One picture of so many is searched for: a search reads every vector that no graph covers yet, in
.9 ms where there are 6,000 (measured)."""


class Look(NamedTuple):
    """A picture as its look-alikes are looked for by."""

    likeness: Likeness
    content_sha256: str
    """The SHA-256 of the picture's bytes."""
    lane: Lane
    """The lane that the picture came on."""


class Clusters:
    """Looks for pictures' clusters among what is listed; safe from several threads.

    Two look-alikes that are embedded at the same moment may begin a cluster each. That costs a
    search nothing but a comparison: it compares the hashes of what it shows anyway.

    Args:
        bits: of 256, up to which two pictures look the same.
        context: its metrics are told how near the nearest listed image is.
    """

    def __init__(self, index: VectorIndex, *, bits: int, context: StageContext) -> None:
        self._index = index
        self._bits = bits
        self._patience = context.patience
        self._metrics = context.metrics
        self._model = index.spec.model_digest
        self._looked: Counter[Lane] = Counter()
        """Looks by lane; a sample may be one off where two threads count at once."""

    def of(self, looks: Sequence[Look]) -> list[str]:
        """Return of each picture the name of the cluster that it joins, or begins.

        Those that come together do not see each other. A flat one, whose hash says nothing, is not
        looked for.
        """
        asking = [n for n, look in enumerate(looks) if hash_bits(look.likeness.perceptual_hash)]
        near = dict(zip(asking, self._near([looks[n] for n in asking]), strict=True))
        return [
            cluster_of(
                look.likeness.perceptual_hash,
                look.content_sha256,
                near.get(n, ()),
                bits=self._bits,
            )
            for n, look in enumerate(looks)
        ]

    def _near(self, looks: Sequence[Look]) -> list[tuple[str, ...]]:
        if not looks:
            return []
        for look in looks:
            self._looked[look.lane] += 1
            if self._looked[look.lane] % _SAMPLED == 1:
                self._tell_similarity(look)
        return self._patience.until_it_works(
            Part.INDEX,
            lambda: self._index.clusters_near(
                [look.likeness for look in looks], bits=self._bits, limit=_NEIGHBOURS
            ),
        )

    def _tell_similarity(self, look: Look) -> None:
        nearest = SearchRequest(vector=look.likeness.vector, limit=1, settle_ties=False)
        hits = self._patience.until_it_works(Part.INDEX, lambda: self._index.search(nearest))
        for hit in hits:
            self._metrics.nearest_similarity.labels(look.lane, self._model).observe(hit.score)
