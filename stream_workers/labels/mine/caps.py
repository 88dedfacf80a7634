"""Hot anchors and popular negatives, cut by the smallest triple ids (docs/labels.md, 13).

Ids are unique; what stays keeps its order.
"""

from __future__ import annotations

from collections import defaultdict

from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.rules import LabelRules

_ABOVE_ALL = "~"
"""Sorts behind every hex digit."""


def cap_hot_anchors(triples: list[tuple[str, Mined]], rules: LabelRules) -> list[tuple[str, Mined]]:
    """Keeps an anchor's smallest ids in an epoch; what is cut gives no weight to the rest."""
    most = rules.hot_anchor_triples
    if len(triples) <= most:
        return triples
    last = sorted([name for name, _ in triples])[most - 1]
    return [pair for pair in triples if pair[0] <= last]


def cap_popular_negatives(
    triples: list[tuple[str, Mined]], rules: LabelRules
) -> list[tuple[str, Mined]]:
    """Keeps each negative's smallest ids in a partition's epoch; cuts the rest."""
    most = rules.popular_negative_triples
    named: defaultdict[str, list[str]] = defaultdict(list)
    for name, mined in triples:
        named[mined.negative.image_id].append(name)
    last = {
        negative: sorted(names)[most - 1] for negative, names in named.items() if len(names) > most
    }
    if not last:
        return triples
    return [pair for pair in triples if pair[0] <= last.get(pair[1].negative.image_id, _ABOVE_ALL)]
