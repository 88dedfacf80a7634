"""Hot anchors and popular negatives, cut by the smallest triple ids (docs/labels.md, 13)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.wire_triples import Mined


def _by_id(triples: Iterable[tuple[str, Mined]]) -> list[tuple[str, Mined]]:
    return sorted(triples, key=lambda pair: pair[0])


def cap_hot_anchors(triples: list[tuple[str, Mined]], rules: LabelRules) -> list[tuple[str, Mined]]:
    """Of one anchor and epoch: the k smallest ids, each with weight n / k."""
    if len(triples) <= rules.hot_anchor_triples:
        return triples
    kept = _by_id(triples)[: rules.hot_anchor_triples]
    for _, mined in kept:
        mined.sampling_weight = len(triples) / rules.hot_anchor_triples
    return kept


def cap_popular_negatives(
    triples: list[tuple[str, Mined]], rules: LabelRules
) -> list[tuple[str, Mined]]:
    """Of one partition and epoch: per negative the smallest ids; the answer is sorted by id."""
    seen: defaultdict[str, int] = defaultdict(int)
    kept = []
    for pair in _by_id(triples):
        seen[pair[1].negative_id] += 1
        if seen[pair[1].negative_id] <= rules.popular_negative_triples:
            kept.append(pair)
    return kept
