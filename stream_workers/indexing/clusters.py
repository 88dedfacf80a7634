"""Pictures that are about to be written in, each in its cluster of look-alikes out (docs/adr/0017).

Of a sample it tells how far they are from what is listed (docs/metrics.md, drift).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sightline.engine.errors import Part
from sightline.engine.pictures.near_duplicates import cluster_of, hash_bits
from sightline.engine.ports import VectorIndex
from sightline.engine.records import Likeness, SearchRequest
from sightline.schemas.indexed import Lane
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.task import Judged, PictureFacts

_NEIGHBOURS = 3
"""Look-alikes are the nearest of all; a few are enough to find the cluster that they are in."""
_SAMPLED = 16
"""One picture of so many is searched for: a search reads every vector that no graph covers yet, in
.9 ms where there are 6,000 (measured)."""


class Clusters:
    """Decides clusters right before pictures are written; run it in the thread that writes.

    So a worker never begins two clusters for two look-alikes: the second finds the first in the
    index, or in its own batch. Two workers that write at the same moment may. That costs a search
    nothing but a comparison: it compares the hashes of what it shows anyway.

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
        """Pictures that were embedded and looked for, by lane."""

    def decide(self, batch: Sequence[Judged]) -> list[Judged]:
        """Return each with its picture in the cluster that it joins, or begins.

        Unchanged: what has no picture, or one whose cluster was decided before.
        """
        facts = {n: facts for n, known in enumerate(batch) if (facts := _undecided(known))}
        near = self._near(batch, facts)
        begun: list[str] = []
        decided = list(batch)
        for n, undecided in facts.items():
            cluster = cluster_of(
                undecided.perceptual_hash,
                undecided.content_sha256,
                (*near.get(n, ()), *begun),
                bits=self._bits,
            )
            decided[n] = batch[n]._replace(verdict=undecided._replace(cluster=cluster))
            if not batch[n].task.hides:  # what is not listed draws no others to it
                begun.append(cluster)
        return decided

    def _near(
        self, batch: Sequence[Judged], facts: Mapping[int, PictureFacts]
    ) -> dict[int, tuple[str, ...]]:
        """Return the clusters near each; a flat one, whose hash says nothing, is not looked for."""
        asked = {n: _likeness(one) for n, one in facts.items() if hash_bits(one.perceptual_hash)}
        if not asked:
            return {}
        for n, likeness in asked.items():
            if batch[n].embedded is not None:  # equal bytes, which are not embedded, tell nothing
                self._sample(batch[n].lane, likeness)
        found = self._patience.until_it_works(
            Part.INDEX,
            lambda: self._index.clusters_near(
                list(asked.values()), bits=self._bits, limit=_NEIGHBOURS
            ),
        )
        return dict(zip(asked, found, strict=True))

    def _sample(self, lane: Lane, likeness: Likeness) -> None:
        self._looked[lane] += 1
        if self._looked[lane] % _SAMPLED != 1:
            return
        nearest = SearchRequest(vector=likeness.vector, limit=1, settle_ties=False)
        hits = self._patience.until_it_works(Part.INDEX, lambda: self._index.search(nearest))
        for hit in hits:
            self._metrics.nearest_similarity.labels(lane, self._model).observe(hit.score)


def _undecided(known: Judged) -> PictureFacts | None:
    facts = known.verdict
    return facts if isinstance(facts, PictureFacts) and facts.cluster is None else None


def _likeness(facts: PictureFacts) -> Likeness:
    return Likeness(facts.vector, facts.perceptual_hash)
