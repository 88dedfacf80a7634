"""A search in, its nearest as the model that answers sees them out, also on vectors of another one.

While a model ranks vectors that another one made, the index finds by a bilinear similarity, which
prefers what is long in the model's space. So it is asked for more than a page, and what it finds is
ordered by the model's own cosine: page and scores are then those that the model gives on vectors of
its own (docs/adr/0029).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

from sightline.engine.records import Hit, SearchRequest
from sightline.engine.vector_index.visible import ANYBODY
from sightline.search_api.http.request_fields import NearDuplicates, SearchFields

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightline.engine.serving.pair import ServingPair
    from sightline.search_api.search.rerank import LookedAt

FURTHER = 200
"""So many beyond the page hold what belongs on it, at the default strength: all of it among
thousands of photos, .99 of it among 100,000 (docs/adr/0029)."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One search, as one pair of model and index is asked."""

    pair: ServingPair
    vector: NDArray[np.float32]
    """The query as the pair's embedder sees it."""
    request: SearchRequest
    """What the index is asked when nothing has been passed over yet."""

    @classmethod
    def of(
        cls,
        pair: ServingPair,
        vector: NDArray[np.float32],
        fields: SearchFields,
        *,
        besides: tuple[str, ...],
    ) -> Self:
        """The nearest so many images as the fields say, but for some."""
        request = SearchRequest(
            vector=pair.query(vector),
            limit=fields.limit,
            tags=fields.tags,
            exclude_ids=besides,
            settle_ties=fields.near_duplicates is NearDuplicates.KEEP,
            exact=fields.exact,
        )
        return cls(pair, vector, request)

    def nearest(self, limit: int, passed: LookedAt) -> list[Hit]:
        """The nearest that anybody may see beyond what was passed, best first, in stable order.

        Raises:
            PartUnavailable: the index did not answer.
        """
        asked = replace(
            self.request,
            limit=limit,
            exclude_ids=tuple(sorted(passed.image_ids.union(self.request.exclude_ids))),
            exclude_clusters=tuple(sorted(passed.clusters)),
        )
        if self.pair.matrix is None:
            return self.pair.visible.search(asked)
        return self._ordered(self.pair.visible.search(replace(asked, limit=limit + FURTHER)))[
            :limit
        ]

    def _ordered(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits by the cosine of the model that answers; of equal ones the order stays."""
        # Again as anybody may see them: what turned private in between is not there any more.
        held = self.pair.visible.get_many([hit.image.image_id for hit in hits], ANYBODY)
        vectors = {name: image.vector for name, image in held.items() if image.vector is not None}
        left = [hit for hit in hits if hit.image.image_id in vectors]
        rows = [vectors[hit.image.image_id] for hit in left]
        scores = self.pair.cosines(self.vector, rows)
        scored = [replace(hit, score=float(s)) for hit, s in zip(left, scores, strict=True)]
        return sorted(scored, key=lambda hit: -hit.score)
