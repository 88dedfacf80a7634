"""Why a triple is there, and why a shown image made none: the miner's own decisions, told.

`sightline triples why`. The rules are numbered as in `docs/labels.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sightline.schemas.labels import TripleMined, Verdict
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.codecs.searches import Graded, Search
from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.explain.evidence import SearchEvidence
from sightline.stream_workers.labels.grades import NOTHING, POSITIVE
from sightline.stream_workers.labels.mine.caps import Named
from sightline.stream_workers.labels.mine.epoch import mine_search
from sightline.stream_workers.labels.mine.negatives import (
    NoNegative,
    hashes_to_avoid,
    makes_triples,
    positives,
    why_not,
)
from sightline.stream_workers.labels.mine.votes import one_vote_each, with_enough_actors
from sightline.stream_workers.labels.rules import LabelRules


class Why(StrEnum):
    """What became of an image of a page."""

    MADE_TRIPLES = "made_triples"
    RETRACTED = "retracted"
    UNKNOWN_SEARCH = "unknown_search"
    NOT_CLOSED = "not_closed"
    NOT_SHOWN = "not_shown"
    BOT = "bot"
    QUERY_NOT_KEPT = "query_not_kept"
    NO_POSITIVE = "no_positive"
    SHORT_CLICK = "short_click"
    NO_NEGATIVE = "no_negative"
    UNEXAMINED = "unexamined"
    NEAR_DUPLICATE = "near_duplicate"
    CLICKED_BY_OTHERS = "clicked_by_others"
    OUTRANKED = "outranked"
    TOO_FEW_ACTORS = "too_few_actors"
    OUTVOTED = "outvoted"
    CAPPED = "capped"


@dataclass(frozen=True, slots=True)
class Answer:
    """The first reason that fits, and the triples that the image is in."""

    why: Why
    sentence: str
    triple_ids: tuple[str, ...] = ()


def why_image(found: SearchEvidence, image_id: str, rules: LabelRules) -> Answer:
    """What became of one image of a search.

    Args:
        found: what the topics hold about the search.
        image_id: that was shown there.
        rules: those that the miner runs with.
    """
    search = found.closed
    if search is None:
        return _not_closed(found, rules)
    image = next((one for one in search.shown if one.image_id == image_id), None)
    if image is None:
        return Answer(Why.NOT_SHOWN, f"{image_id} was not on that page (rule 5)")
    made = {name for name, mined in found.mined.items() if image_id in _images(mined)}
    held = tuple(sorted(made - found.retracted.keys()))
    if held:
        return Answer(Why.MADE_TRIPLES, f"it is in {len(held)} triples", held)
    if made:
        causes = sorted({found.retracted[name].cause.value for name in made})
        told = f"its {len(made)} triples were taken back: {', '.join(causes)} (rule 17)"
        return Answer(Why.RETRACTED, told, tuple(sorted(made)))
    return _unmade(found, search, image, rules)


def _not_closed(found: SearchEvidence, rules: LabelRules) -> Answer:
    if found.shown is None:
        return Answer(Why.UNKNOWN_SEARCH, "no topic holds that search: forged, erased or aged out")
    epoch = rules.epoch_of(round(found.shown.issued_at.timestamp() * 1_000))
    at = instants.text(rules.closes_at(epoch))
    told = (
        f"its epoch {epoch} closes when the partition's stream time passes {at} (rule 2); where "
        "that is past, the impression came too late, or its user was erased (rules 5 and 6)"
    )
    return Answer(Why.NOT_CLOSED, told)


def _images(mined: TripleMined | Mined) -> tuple[str, str]:
    return mined.positive_id, mined.negative_id


def _unmade(found: SearchEvidence, search: Search, image: Graded, rules: LabelRules) -> Answer:
    barred = _barred(search, image)
    if barred is not None:
        return barred
    names = [
        name
        for name, mined in mine_search(search, found.clicked, rules)
        if image.image_id in _images(mined)
    ]
    if names:
        return _cut(found, tuple(sorted(names)), rules)
    if image.grade >= POSITIVE:
        return Answer(Why.NO_NEGATIVE, "it is a positive, but the page has no negative (rule 12)")
    return _no_negative(found, search, image, rules)


def _cut(found: SearchEvidence, names: tuple[str, ...], rules: LabelRules) -> Answer:
    """What rule 13 did to triples that the search alone would make."""
    every = [
        named for search in found.same_epoch for named in mine_search(search, found.clicked, rules)
    ]
    enough = with_enough_actors(every, [found.voters], rules)
    if not _any_of(names, enough):
        told = f"fewer than {rules.min_actors} actors preferred the image by then (rule 13)"
        return Answer(Why.TOO_FEW_ACTORS, told, names)
    if not _any_of(names, one_vote_each(enough)):
        told = "the actor's vote for that image counts from another search of the epoch (rule 13)"
        return Answer(Why.OUTVOTED, told, names)
    told = (
        f"{len(names)} triples fell to the caps on actors, anchors and negatives (rule 13), "
        "or its epoch is not mined yet"
    )
    return Answer(Why.CAPPED, told, names)


def _any_of(names: tuple[str, ...], triples: list[Named]) -> bool:
    return not {name for name, _ in triples}.isdisjoint(names)


def _barred(search: Search, image: Graded) -> Answer | None:
    """What rules out the search, or this image, whatever the others are."""
    if search.verdict != Verdict.PERSON.value:
        return Answer(Why.BOT, f"the verdict on its actor is {search.verdict} (rule 9)")
    if not makes_triples(search):
        return Answer(Why.QUERY_NOT_KEPT, "the query's picture was not kept (rule 12)")
    if not positives(search):
        return Answer(Why.NO_POSITIVE, "nothing on that page has grade 2 or more (rule 7)")
    if NOTHING < image.grade < POSITIVE:
        return Answer(Why.SHORT_CLICK, "grade 1 is neither positive nor negative (rule 7)")
    return None


def _no_negative(found: SearchEvidence, search: Search, image: Graded, rules: LabelRules) -> Answer:
    near = hashes_to_avoid(search, positives(search))
    reason = why_not(image, search, near, found.clicked, rules)
    told = {
        NoNegative.UNEXAMINED: f"place {image.position} is beyond the examined {search.examined}",
        NoNegative.NEAR_DUPLICATE: f"within {rules.near_duplicate_bits} bits of anchor or positive",
        NoNegative.CLICKED_BY_OTHERS: f"people graded it for this anchor in {rules.history} epochs",
    }
    if reason is None or reason not in told:
        best = f"{rules.negatives} others of that page have a higher score"
        return Answer(Why.OUTRANKED, f"{best} (rule 12)")
    return Answer(Why(reason.value), f"{told[reason]} (rules 8 and 12)")


def triple_story(triple_id: str, mined: TripleMined, found: SearchEvidence) -> Iterator[str]:
    """The search, the acts and the rules behind a triple, a line each."""
    yield f"triple     {triple_id}"
    yield f"anchor     {mined.anchor_id}"
    yield (
        f"positive   {mined.positive_id} at {mined.positive_position}, grade {mined.grade}, "
        f"score {mined.positive_score:.4f} (rule 7)"
    )
    yield (
        f"negative   {mined.negative_id} at {mined.negative_position}, shown and not taken, "
        f"score {mined.negative_score:.4f} (rule 12)"
    )
    yield f"weight     {mined.sampling_weight:g} (rule 13)"
    yield f"search     {mined.search_id}"
    yield (
        f"issued     {mined.issued_at.isoformat()}, epoch {mined.epoch}, variant {mined.variant}, "
        f"model {mined.model_digest[:23]}, rules {mined.rules_version}"
    )
    if found.closed is not None:
        yield f"closed     verdict {found.closed.verdict}, examined place {found.closed.examined}"
    yield from acts(found, {mined.positive_id, mined.negative_id})
    if triple_id in found.retracted:
        taken = found.retracted[triple_id]
        yield f"retracted  {taken.cause} by {taken.cause_event_id} (rule 17)"


def acts(found: SearchEvidence, image_ids: set[str]) -> Iterator[str]:
    """What was done with these images, and what of it was not counted, a line each."""
    left_out = {row.event_id: row.reason for one in found.omitted for row in one.omitted}
    for beacon in found.beacons:
        for item in beacon.items:
            if item.image_id not in image_ids:
                continue
            facts = {
                "since answer": item.since_answer_ms,
                "in view": item.in_view_ms,
                "dwell": item.dwell_ms,
            }
            told = ", ".join(f"{name} {ms} ms" for name, ms in facts.items() if ms is not None)
            reason = left_out.get(item.event_id)
            counted = f"not counted: {reason} (rule 5)" if reason else "counted"
            yield f"{item.kind.value:<10} {item.image_id} {told or '-'}; {counted}"
