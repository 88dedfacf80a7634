"""One complete epoch of one partition to its triples: a pure function of its set and H epochs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from itertools import groupby
from operator import attrgetter

from sightline.stream_workers.labels.codecs.searches import PERSON, Search
from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.mine.caps import Named, cap_hot_anchors, cap_popular_negatives
from sightline.stream_workers.labels.mine.negatives import makes_triples, negatives, positives
from sightline.stream_workers.labels.mine.triple_ids import triple_id
from sightline.stream_workers.labels.mine.votes import (
    Voters,
    cap_actors,
    one_vote_each,
    with_enough_actors,
)
from sightline.stream_workers.labels.rules import LabelRules

Click = tuple[str, str]
"""An actor, and an image that it gave a grade of at least 1."""
Clicked = dict[str, set[Click]]
"""Per anchor what people clicked for it."""


def clicked_by_people(searches: Iterable[Search]) -> Clicked:
    """What one epoch adds to the history."""
    clicked: Clicked = {}
    for search in searches:
        if search.verdict != PERSON:
            continue
        graded = [(search.actor_id, image.image_id) for image in search.shown if image.grade]
        if graded:
            clicked.setdefault(search.anchor_id, set()).update(graded)
    return clicked


def no_negatives(clicks: Collection[Click], rules: LabelRules) -> frozenset[str]:
    """The images that somebody clicked who did not click nearly everything (docs/labels.md, 12).

    Args:
        clicks: what people clicked for one anchor in epochs e - H … e.
        rules: the numbers.
    """
    most = rules.actor_barred_images
    if len(clicks) <= most:
        return frozenset([image_id for _, image_id in clicks])
    images = Counter([actor_id for actor_id, _ in clicks])
    return frozenset([image_id for actor_id, image_id in clicks if images[actor_id] <= most])


def mine_search(search: Search, clicked: Collection[str], rules: LabelRules) -> list[Named]:
    """Every positive with every negative of one search, by id; uncapped."""
    chosen = positives(search) if makes_triples(search) else []
    against = negatives(search, chosen, clicked, rules) if chosen else []
    name = partial(triple_id, rules.version, search.search_id, search.anchor_id)
    return [
        (name(positive.image_id, negative.image_id), Mined(search, positive, negative))
        for positive in chosen
        for negative in against
    ]


def each_once(triples: list[Named]) -> list[Named]:
    """Keeps the first of those of one id: two source partitions may hold the same search."""
    first = dict(reversed(triples))
    if len(first) == len(triples):
        return triples
    return [(name, mined) for name, mined in triples if first[name] is mined]


def bounded(triples: list[Named], voters: Collection[Voters], rules: LabelRules) -> list[Named]:
    """Keeps of one anchor's triples in an epoch those that teach, none of them too much."""
    voted = one_vote_each(with_enough_actors(triples, voters, rules))
    return cap_hot_anchors(cap_actors(voted, rules), rules)


def mine_epoch(
    searches: Iterable[tuple[int, Search]],
    history: Iterable[Mapping[str, Collection[Click]]],
    rules: LabelRules,
    voters: Collection[Voters] = (),
) -> list[Named]:
    """The epoch's triples; those of an anchor, and of a search, in a row.

    Args:
        searches: (source partition, search), each search once.
        history: `clicked_by_people` of epochs e - H … e.
        rules: the numbers.
        voters: `voters_of` the same epochs, where `min_actors` asks for more than one.
    """
    past = list(history)
    ordered = [
        search for _, search in sorted(searches, key=lambda pair: (pair[0], pair[1].search_id))
    ]
    ordered.sort(key=attrgetter("anchor_id"))
    kept: list[Named] = []
    for anchor_id, group in groupby(ordered, key=attrgetter("anchor_id")):
        clicks = set[Click]().union(*(epoch.get(anchor_id, ()) for epoch in past))
        clicked = no_negatives(clicks, rules)
        found = [named for search in group for named in mine_search(search, clicked, rules)]
        kept += bounded(each_once(found), voters, rules)
    return cap_popular_negatives(kept, rules)
