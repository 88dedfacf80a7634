"""Which shown images somebody saw and passed over (docs/labels.md, 12)."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from operator import attrgetter

from sightline.engine.pictures.near_duplicates import near_any
from sightline.stream_workers.labels.codecs.interactions import UploadQuery
from sightline.stream_workers.labels.codecs.searches import PERSON, Graded, Search
from sightline.stream_workers.labels.grades import NOTHING, POSITIVE
from sightline.stream_workers.labels.rules import LabelRules

_image_id = attrgetter("image_id")
_score = attrgetter("score")


class NoNegative(StrEnum):
    """Why a shown image is no negative: the first that fits, for `sightline triples why`."""

    GRADED = "graded"
    UNEXAMINED = "unexamined"
    NEAR_DUPLICATE = "near_duplicate"
    CLICKED_BY_OTHERS = "clicked_by_others"


def makes_triples(search: Search) -> bool:
    """Whether its actor is a person and its anchor's picture was kept."""
    kept = not isinstance(search.query, UploadQuery) or search.query.object is not None
    return kept and search.verdict == PERSON


def positives(search: Search) -> list[Graded]:
    """Images of grade 2 and above, by position."""
    return [image for image in search.shown if image.grade >= POSITIVE]


def _bits(perceptual_hash: str) -> int:
    return int(perceptual_hash, 16)


def why_not(
    image: Graded,
    search: Search,
    near: list[int],
    clicked: Collection[str],
    rules: LabelRules,
) -> NoNegative | None:
    """The first reason why an image is no negative; None: it is one."""
    if image.grade != NOTHING:
        return NoNegative.GRADED
    if image.position > search.examined:
        return NoNegative.UNEXAMINED
    if image.image_id in clicked:
        return NoNegative.CLICKED_BY_OTHERS
    if near_any(_bits(image.perceptual_hash), near, bits=rules.near_duplicate_bits):
        return NoNegative.NEAR_DUPLICATE
    return None


def hashes_to_avoid(search: Search, chosen: list[Graded]) -> list[int]:
    """Those of the anchor and of every positive."""
    return [_bits(search.anchor_perceptual_hash)] + [_bits(p.perceptual_hash) for p in chosen]


def negatives(
    search: Search, chosen: list[Graded], clicked: Collection[str], rules: LabelRules
) -> list[Graded]:
    """At most 3, by descending score, ties by id.

    Args:
        search: a search that makes triples.
        chosen: its positives.
        clicked: images that some person gave a grade for this anchor in epochs e - H … e.
        rules: the numbers.
    """
    near = hashes_to_avoid(search, chosen)
    examined = search.examined
    passed_over = [
        image
        for image in search.shown
        if not image.grade and image.position <= examined and image.image_id not in clicked
    ]
    # Twice by one attribute each: a key function of ours would take most of the miner's sorting.
    passed_over.sort(key=_image_id)
    passed_over.sort(key=_score, reverse=True)
    found: list[Graded] = []
    for image in passed_over:
        if len(found) == rules.negatives:
            break
        if not near_any(_bits(image.perceptual_hash), near, bits=rules.near_duplicate_bits):
            found.append(image)
    return found
