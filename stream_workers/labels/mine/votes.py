"""What an actor's choice of an image for an anchor counts: one vote, bounded (docs/labels.md, 13).

Pure functions of the triples of one anchor and epoch; what stays keeps its order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter

from sightline.stream_workers.labels.codecs.searches import PERSON, Search
from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.mine.caps import Named, smallest
from sightline.stream_workers.labels.mine.negatives import positives
from sightline.stream_workers.labels.rules import LabelRules

Pair = tuple[str, str]
"""An anchor and an image that was preferred for it."""
Voters = Mapping[Pair, Collection[str]]
"""Per pair the actors who preferred it."""
_of_actor = attrgetter("search.actor_id")


def voters_of(searches: Iterable[Search]) -> dict[Pair, set[str]]:
    """Who of an epoch's people preferred what, for `min_actors`."""
    found: defaultdict[Pair, set[str]] = defaultdict(set)
    for search in searches:
        if search.verdict == PERSON:
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
    searches = {(mined.search.actor_id, mined.search.search_id) for _, mined in triples}
    counts = Counter([actor_id for actor_id, _ in searches])
    again = {actor_id for actor_id, count in counts.items() if count > 1}
    if not again:
        return triples  # as nearly always: nobody searched twice by this anchor
    best: dict[Pair, tuple[int, str]] = {}
    for _, mined in triples:
        if mined.search.actor_id in again:
            whose, rank = _whose(mined), _rank(mined)
            best[whose] = min(rank, best.get(whose, rank))
    return [
        pair
        for pair in triples
        if pair[1].search.actor_id not in again or best[_whose(pair[1])] == _rank(pair[1])
    ]


def cap_actors(triples: list[Named], rules: LabelRules) -> list[Named]:
    """Keeps each actor's smallest ids, weighing less where the actor acted on many pairs."""
    most = rules.actor_anchor_triples
    kept = triples if len(triples) <= most else smallest(triples, most, _of_actor)
    for _, mined in kept:
        if mined.search.actor_pairs > rules.actor_pairs:
            # What brings the whole epoch of the actor down to the weight of so many pairs.
            mined.sampling_weight = rules.actor_pairs / mined.search.actor_pairs
    return kept


def _whose(mined: Mined) -> Pair:
    return mined.search.actor_id, mined.positive_id


def _rank(mined: Mined) -> tuple[int, str]:
    return -mined.positive.grade, mined.search.search_id
