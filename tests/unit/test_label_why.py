"""Why a triple is there, and why a shown image made none: each reason of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sightline.engine.records import Message
from sightline.schemas.interactions import Interaction, Kind, ResultsInteracted
from sightline.schemas.labels import RetractionCause, SearchClosed, TripleRetracted, Verdict
from sightline.schemas.late import InteractionsOmitted, Omission, OmissionReason, OmittedKind
from sightline.schemas.searches import UploadQuery
from sightline.schemas.topics import INTERACTIONS, INTERACTIONS_LATE, TRAINING_TRIPLES
from sightline.stream_workers.labels.explain.evidence import find_triple, gather_evidence
from sightline.stream_workers.labels.explain.why import Why, triple_story, why_image
from sightline.stream_workers.labels.rules import LabelRules
from tests.conftest import ROOT
from tests.label_rows import closed, closed_message, encoded, graded, message, mined, search

RULES = LabelRules()
EPOCH = 2_954_232
PAGE = ROOT / "docs/labels-data.md"
HASHES = [f"{Random(n).getrandbits(256):064x}" for n in range(10)]


def reading(messages: Sequence[Message]) -> Any:
    """Topics as `read_topics` gives them."""

    def read(topics: Sequence[str], **_: Any) -> Iterable[Message]:
        return [one for one in messages if one.topic in topics]

    return read


def page(search_id: str = "s1", **changes: Any) -> SearchClosed:
    """`p3` clicked at 3, examined 5 of 7; `p1` near `p3`, `p2` clicked by others, `p6` unseen."""
    near = f"{int(HASHES[3], 16) ^ 0xFFF:064x}"
    facts: dict[str, dict[str, Any]] = {
        "p1": {"perceptual_hash": near},
        "p3": {"grade": 2, "clicks": 1},
        "p5": {"grade": 1, "clicks": 1},
    }
    shown = [
        graded(f"p{n}", n, **({"perceptual_hash": HASHES[n]} | facts.get(f"p{n}", {})))
        for n in range(1, 8)
    ]
    settled: dict[str, Any] = {"examined": 5, "anchor_perceptual_hash": HASHES[0]}
    return search(search_id, *shown, **(settled | changes))


def others() -> SearchClosed:
    """Somebody clicked `p2` for the same anchor an hour before."""
    return search("s0", graded("p2", 1, grade=3, clicks=1), actor_id="bob")


def answer(
    image_id: str, *searches: SearchClosed, triples: Sequence[bytes] = (), rules: LabelRules = RULES
) -> Why:
    """Of an image of `s1`."""
    found = searches or (page(),)
    messages = [
        closed_message(closed(0, EPOCH - 5, others()), 0, 0),
        closed_message(closed(0, EPOCH, *found), 1, 0),
        *(message(value, n) for n, value in enumerate(triples)),
    ]
    return why_image(gather_evidence(reading(messages), "s1", rules), image_id, rules).why


@pytest.mark.parametrize(
    ("image_id", "wanted"),
    [
        ("p1", Why.NEAR_DUPLICATE),
        ("p2", Why.CLICKED_BY_OTHERS),
        ("p3", Why.CAPPED),
        ("p4", Why.CAPPED),
        ("p5", Why.SHORT_CLICK),
        ("p6", Why.UNEXAMINED),
        ("p9", Why.NOT_SHOWN),
    ],
)
def test_each_image_of_a_page_has_its_reason(image_id: str, wanted: Why) -> None:
    """Nothing was mined: what would have been fell to the caps."""
    assert answer(image_id) is wanted


def test_a_vote_that_another_search_gives_is_told() -> None:
    """The same actor liked `p3` on a second page of the epoch: that page's triples count."""
    better = tuple(
        image.model_copy(update={"grade": 4}) if image.image_id == "p3" else image
        for image in page().shown
    )
    assert answer("p3", page(), page("s2", shown=better)) is Why.OUTVOTED
    assert answer("p3", page(), page("s2", shown=better, actor_id="eve")) is Why.CAPPED


def test_a_pair_that_too_few_preferred_is_told() -> None:
    """Two actors are asked for: one is not enough, whoever else is a bot."""
    two = replace(RULES, min_actors=2)
    bot = page("s2", actor_id="eve", verdict=Verdict.TOO_MANY)
    assert answer("p3", page(), rules=two) is Why.TOO_FEW_ACTORS
    assert answer("p3", page(), bot, rules=two) is Why.TOO_FEW_ACTORS
    assert answer("p3", page(), page("s2", actor_id="eve"), rules=two) is Why.CAPPED


def test_reasons_of_the_whole_page() -> None:
    """A bot, a query that was not kept, no positive, no negative, a search nobody knows."""
    assert answer("p4", page(verdict=Verdict.TOO_MANY)) is Why.BOT
    assert answer("p4", page(query=UploadQuery(sha256="0" * 64))) is Why.QUERY_NOT_KEPT
    flat = tuple(image.model_copy(update={"grade": 0}) for image in page().shown)
    assert answer("p4", page(shown=flat)) is Why.NO_POSITIVE
    assert answer("p3", page(examined=0)) is Why.NO_NEGATIVE
    assert answer("p4", page(), rules=replace(RULES, negatives=0)) is Why.OUTRANKED
    assert answer("p4", page("another")) is Why.UNKNOWN_SEARCH


def triple_bytes() -> bytes:
    """(`p3`, `p4`) of `s1`."""
    data = mined(search_id="s1", positive_id="p3", negative_id="p4")
    return encoded(data, "f" * 64)


def test_what_made_triples_says_which_and_what_took_them_back() -> None:
    """Both sides of the triple."""
    assert answer("p4", page(), triples=[triple_bytes()]) is Why.MADE_TRIPLES
    gone = TripleRetracted(
        triple_id="f" * 64,
        anchor_id="a",
        cause=RetractionCause.IMAGE_DELETED,
        cause_event_id="e",
    )
    both = [triple_bytes(), encoded(gone, "r")]
    assert answer("p3", page(), triples=both) is Why.RETRACTED


def test_a_triples_story_names_search_acts_and_rules() -> None:
    """From the topics alone: the click that was counted and the one that was not."""
    beacon = encoded(_beacon(), "b1")
    messages = [
        message(beacon, 0, topic=INTERACTIONS.name),
        message(encoded(_omitted(), "o1"), 0, topic=INTERACTIONS_LATE.name),
        closed_message(closed(0, EPOCH, page()), 1, 0),
        message(triple_bytes(), 0, topic=TRAINING_TRIPLES.name),
        message(b"nonsense s1", 1, topic=TRAINING_TRIPLES.name),
    ]
    read = reading(messages)
    found = find_triple(read, "f" * 64)
    assert found is not None
    story = "\n".join(triple_story("f" * 64, found, gather_evidence(read, found.search_id, RULES)))
    for part in ("positive   p3", "negative   p4", "verdict person", "examined place 5", "s1"):
        assert part in story
    assert "clicked    p3 since answer 42000 ms; counted" in story
    assert "not counted: duplicate" in story
    assert find_triple(read, "e" * 64) is None


def _beacon() -> ResultsInteracted:
    clicks = [
        Interaction(event_id=name, kind=Kind.CLICKED, image_id="p3", since_answer_ms=42_000)
        for name in ("c1", "c2")
    ]
    return ResultsInteracted(
        search_id="s1",
        issued_at=page().issued_at,
        actor_id="ann",
        received_at=page().issued_at,
        items=tuple(clicks),
    )


def _omitted() -> InteractionsOmitted:
    row = Omission(
        index=1,
        event_id="c2",
        kind=OmittedKind.CLICKED,
        image_id="p3",
        reason=OmissionReason.DUPLICATE,
    )
    return InteractionsOmitted(
        topic=INTERACTIONS.name,
        partition=0,
        offset=0,
        search_id="s1",
        issued_at=page().issued_at,
        actor_id="ann",
        omitted=(row,),
    )


@pytest.mark.parametrize("reason", Why)
def test_every_reason_is_documented(reason: Why) -> None:
    """docs/labels-data.md has a line for each."""
    assert f"| `{reason.value}` |" in PAGE.read_text()
