"""What an actor's choice of an image for an anchor counts: one vote, bounded (docs/labels.md, 13).

Pure functions of the triples of one anchor and epoch; what stays keeps its order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from sightline.schemas.labels import Verdict
from sightline.stream_workers.labels.codecs.searches import Search
from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.mine.negatives import positives
from sightline.stream_workers.labels.rules import LabelRules

Named = tuple[str, Mined]
"""A triple with its id."""
Pair = tuple[str, str]
"""An anchor and an image that was preferred for it."""
Voters = Mapping[Pair, Collection[str]]
"""Per pair the actors who preferred it."""


def voters_of(searches: Iterable[Search]) -> dict[Pair, set[str]]:
    """Who of an epoch's people preferred what, for `min_actors`."""
    found: defaultdict[Pair, set[str]] = defaultdict(set)
    for search in searches:
        if search.verdict == Verdict.PERSON.value:
            for image in positives(search):
                found[search.anchor_id, image.image_id].add(search.actor_id)
    return dict(found)


def with_enough_actors(
    triples: list[Named], voters: Collection[Voters], rules: LabelRules
) -> list[Named]:
    """Those whose pair was preferred by at least `min_actors` in epochs e - H … e."""
    if rules.min_actors == 1:
        return triples

    def actors(mined: Mined) -> int:
        pair = (mined.anchor_id, mined.positive_id)
        return len(set().union(*(epoch.get(pair, ()) for epoch in voters)))

    return [pair for pair in triples if actors(pair[1]) >= rules.min_actors]


def one_vote_each(triples: list[Named]) -> list[Named]:
    """Keeps one search's triples for each actor and positive: the highest grade, ties by id."""
    best: dict[Pair, tuple[int, str]] = {}
    for _, mined in triples:
        whose, rank = _whose(mined), _rank(mined)
        best[whose] = min(rank, best.get(whose, rank))
    return [pair for pair in triples if best[_whose(pair[1])] == _rank(pair[1])]


def cap_actors(triples: list[Named], rules: LabelRules) -> list[Named]:
    """Keeps each actor's smallest ids, weighing less where the actor acted on many pairs."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for name, mined in triples:
        names[mined.search.actor_id].append(name)
    most = rules.actor_anchor_triples
    last = {actor: sorted(held)[most - 1] for actor, held in names.items() if len(held) > most}
    kept = [pair for pair in triples if pair[0] <= last.get(pair[1].search.actor_id, pair[0])]
    for _, mined in kept:
        mined.sampling_weight = weight_of(mined.search, rules)
    return kept


def weight_of(search: Search, rules: LabelRules) -> float:
    """1, or what brings the whole epoch of its actor down to the weight of `actor_pairs`."""
    return min(1.0, rules.actor_pairs / max(1, search.actor_pairs))


def _whose(mined: Mined) -> Pair:
    return mined.search.actor_id, mined.positive_id


def _rank(mined: Mined) -> tuple[int, str]:
    return -mined.positive.grade, mined.search.search_id
