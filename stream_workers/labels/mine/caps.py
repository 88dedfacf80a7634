"""Hot anchors and popular negatives, cut by the smallest triple ids (docs/labels.md, 13).

Ids are unique; what stays keeps its order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from operator import attrgetter

from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.rules import LabelRules

Named = tuple[str, Mined]
"""A triple with its id."""
_of_negative = attrgetter("negative.image_id")


def cap_hot_anchors(triples: list[Named], rules: LabelRules) -> list[Named]:
    """Keeps an anchor's smallest ids in an epoch; what is cut gives no weight to the rest."""
    most = rules.hot_anchor_triples
    if len(triples) <= most:
        return triples
    last = sorted([name for name, _ in triples])[most - 1]
    return [pair for pair in triples if pair[0] <= last]


def cap_popular_negatives(triples: list[Named], rules: LabelRules) -> list[Named]:
    """Keeps each negative's smallest ids in a partition's epoch; cuts the rest."""
    return smallest(triples, rules.popular_negative_triples, _of_negative)


def smallest(triples: list[Named], most: int, whose: Callable[[Mined], str]) -> list[Named]:
    """Keeps the smallest ids of each whose they are, `most` of them; cuts the rest."""
    held: defaultdict[str, list[str]] = defaultdict(list)
    for name, mined in triples:
        held[whose(mined)].append(name)
    cut = {name for names in held.values() if len(names) > most for name in sorted(names)[most:]}
    return [pair for pair in triples if pair[0] not in cut] if cut else triples
