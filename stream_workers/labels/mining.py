"""One complete epoch of one partition to its triples: a pure function of its set and H epochs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter

from sightline.schemas.labels import Verdict
from sightline.stream_workers.labels.caps import cap_hot_anchors, cap_popular_negatives
from sightline.stream_workers.labels.negatives import makes_triples, negatives, positives
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.triple_ids import triple_id
from sightline.stream_workers.labels.wire_searches import Graded, Search
from sightline.stream_workers.labels.wire_triples import Mined

Clicked = dict[str, set[str]]
"""Per anchor the images that some person gave a grade of at least 1."""


def clicked_by_people(searches: Iterable[Search]) -> Clicked:
    """What one epoch adds to the history."""
    clicked: Clicked = {}
    for search in searches:
        if search.verdict != Verdict.PERSON.value:
            continue
        graded = [image.image_id for image in search.shown if image.grade]
        if graded:
            clicked.setdefault(search.anchor_id, set()).update(graded)
    return clicked


def _mined(
    search: Search, positive: Graded, negative: Graded, epoch: int, rules: LabelRules
) -> Mined:
    return Mined(
        anchor_id=search.anchor_id,
        positive_id=positive.image_id,
        negative_id=negative.image_id,
        grade=positive.grade,
        positive_position=positive.position,
        negative_position=negative.position,
        positive_score=positive.score,
        negative_score=negative.score,
        search_id=search.search_id,
        issued_at=search.issued_at,
        epoch=epoch,
        actor_id=search.actor_id,
        query=search.query,
        anchor_perceptual_hash=search.anchor_perceptual_hash,
        positive_perceptual_hash=positive.perceptual_hash,
        negative_perceptual_hash=negative.perceptual_hash,
        model_digest=search.model_digest,
        generation=search.generation,
        variant=search.variant,
        rules_version=rules.version,
        sampling_weight=1.0,
        user_pseudonym=search.user_pseudonym,
    )


def mine_search(
    search: Search, clicked: Collection[str], epoch: int, rules: LabelRules
) -> Iterator[tuple[str, Mined]]:
    """Every positive with every negative of one search, by id; uncapped."""
    chosen = positives(search) if makes_triples(search) else []
    against = negatives(search, chosen, clicked, rules) if chosen else []
    for positive in chosen:
        for negative in against:
            name = triple_id(
                rules.version,
                search.search_id,
                search.anchor_id,
                positive.image_id,
                negative.image_id,
            )
            yield name, _mined(search, positive, negative, epoch, rules)


def mine_epoch(
    searches: Iterable[tuple[int, Search]],
    history: Iterable[Mapping[str, Collection[str]]],
    epoch: int,
    rules: LabelRules,
) -> list[tuple[str, Mined]]:
    """The epoch's triples, by id.

    Args:
        searches: (source partition, search), each search once.
        history: `clicked_by_people` of epochs e - H … e.
        epoch: e.
        rules: the numbers.
    """
    past = list(history)
    ordered = [
        search for _, search in sorted(searches, key=lambda pair: (pair[0], pair[1].search_id))
    ]
    ordered.sort(key=attrgetter("anchor_id"))
    kept: list[tuple[str, Mined]] = []
    for anchor_id, group in groupby(ordered, key=attrgetter("anchor_id")):
        clicked = frozenset().union(*(epoch.get(anchor_id, ()) for epoch in past))
        found: dict[str, Mined] = {}
        for search in group:
            for name, mined in mine_search(search, clicked, epoch, rules):
                found.setdefault(name, mined)
        kept += cap_hot_anchors(list(found.items()), rules)
    return cap_popular_negatives(kept, rules)
