"""Bad input that stands on the topic itself: each has its outcome, and none makes a triple.

What the API refuses before is in tests/integration/test_api_interactions.py; both tables are in
docs/interactions.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from sightline.schemas.envelope import Event
from sightline.schemas.interactions import (
    ClockTicked,
    Interaction,
    Kind,
    ResultsInteracted,
)
from sightline.schemas.searches import ImageQuery, ResultsShown, ShownImage
from sightline.stream_workers.labels.rules import LabelRules
from tests.conftest import ROOT
from tests.label_shell import StreamedTopics, stream
from tests.label_world import far_hash, instant
from tests.oracle_labels import Recorded

RULES = LabelRules()
MINUTE = 60_000
ISSUED = 1_772_366_400_000 + 3 * MINUTE
ARRIVED = ISSUED + 5_000
CLOSED = ISSUED + 60 * MINUTE
PAGE = ROOT / "docs/interactions.md"
Told = dict[str, Any]


def record(data: ResultsShown | ResultsInteracted | ClockTicked, name: str) -> Told:
    """An event as JSON, to be broken."""
    event: Event[Any] = Event.of(data, event_id=name, source="urn:test", time=instant(ARRIVED))
    told: Told = json.loads(event.encode())
    return told


def impression() -> Told:
    """A page of six."""
    page = ResultsShown(
        search_id="s1",
        issued_at=instant(ISSUED),
        actor_id="ann",
        session_id="x",
        anchor_id="a",
        query=ImageQuery(image_id="a"),
        anchor_perceptual_hash=far_hash(99),
        shown=tuple(
            ShownImage(image_id=f"p{n}", position=n, score=1 - n / 100, perceptual_hash=far_hash(n))
            for n in range(1, 7)
        ),
        model_digest="m",
        generation="g",
    )
    return record(page, "v1")


def click(**facts: Any) -> Told:
    """A beacon with one good click, some of its facts changed."""
    item = Interaction(
        event_id="c1", kind=Kind.CLICKED, image_id="p3", position=3, since_answer_ms=1_000
    )
    beacon = ResultsInteracted(
        search_id="s1",
        issued_at=instant(ISSUED),
        actor_id="ann",
        received_at=instant(ARRIVED),
        items=(item,),
    )
    told = record(beacon, "b1")
    told["data"]["items"][0] |= facts
    return told


def of_search(**facts: Any) -> Told:
    """The good click, but for what its beacon says of the search."""
    told = click()
    told["data"] |= facts
    return told | {"subject": told["data"]["search_id"]}


def later(ms: int) -> str:
    """So long after the answer."""
    return (instant(ISSUED) + timedelta(milliseconds=ms)).isoformat()


def received_before_the_answer() -> Told:
    """The good click by the clock of the API alone, which was wrong."""
    told = click(since_answer_ms=None)
    told["data"]["received_at"] = later(-1)
    return told


def log(*records: tuple[int, Told | bytes]) -> list[Recorded]:
    """These at their times on the one partition, and a tick that closes everything."""
    tick = (CLOSED, record(ClockTicked(ticker_id="t"), "t"))
    return [
        Recorded(0, offset, at, told if isinstance(told, bytes) else json.dumps(told).encode())
        for offset, (at, told) in enumerate([*records, tick])
    ]


def streamed(records: Sequence[Recorded]) -> StreamedTopics:
    """What both stages make of it."""
    topics, _ = stream(
        records, RULES, sources=1, targets=1, topic="interactions.v1", random=Random(0)
    )
    return topics


def reasons(topics: StreamedTopics) -> list[str]:
    """Of the side topic, in the order of the log."""
    rows = topics.left_out()
    return [omitted["reason"] for place in sorted(rows) for omitted in rows[place]["omitted"]]


def test_the_good_click_makes_triples() -> None:
    """So that none of the others makes one for no other reason."""
    topics = streamed(log((ISSUED, impression()), (ARRIVED, click())))
    assert len(topics.mined()) == 2
    assert (reasons(topics), topics.dead) == ([], [])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (click(image_id="elsewhere", position=None), "not_shown"),
        (click(position=4), "not_shown"),
        (of_search(search_id="forged"), "no_impression"),
        (of_search(actor_id="somebody-else"), "no_impression"),
        (click(since_answer_ms=RULES.window_ms + 1), "outside_window"),
        (received_before_the_answer(), "outside_window"),
        (of_search(issued_at=later(365 * 24 * 60 * MINUTE)), "future"),
        (of_search(issued_at=later(-365 * 24 * 60 * MINUTE)), "after_close"),
    ],
    ids=[
        "not on the page",
        "another position",
        "unknown search",
        "another actor",
        "long after",
        "received before the answer",
        "search of the far future",
        "search of the far past",
    ],
)
def test_what_does_not_count_goes_to_the_side_topic(bad: Told, reason: str) -> None:
    """With its reason; the search is closed without it."""
    topics = streamed(log((ISSUED, impression()), (ARRIVED, bad)))
    assert reasons(topics) == [reason]
    assert topics.mined() == {}
    assert topics.dead == []
    assert len(topics.searches()) == 1
    assert f"`{reason}`" in PAGE.read_text()


def test_a_click_after_the_close_is_left_out() -> None:
    """However good it is otherwise."""
    topics = streamed(log((ISSUED, impression()), (CLOSED, click())))
    assert reasons(topics) == ["after_close"]
    assert topics.mined() == {}


def test_a_second_impression_is_left_out() -> None:
    """The first page of a search holds."""
    other = impression() | {"id": "v2"}
    other["data"]["shown"] = other["data"]["shown"][:2]
    topics = streamed(log((ISSUED, impression()), (ISSUED, other), (ARRIVED, click())))
    assert reasons(topics) == ["second_impression"]
    assert len(topics.mined()) == 2


@pytest.mark.parametrize(
    "bad",
    [
        click(dwell_ms=-1),
        click(dwell_ms=7 * 86_400_000),
        click(in_view_ms=-1),
        click(since_answer_ms=-1),
        click(position=0),
        click(kind="seen"),
        of_search(items=[]),
        of_search(items=click()["data"]["items"] * 101),
        b"no JSON",
        b"{" + b" " * 10_000_000,
    ],
    ids=[
        "dwell below zero",
        "dwell of a week",
        "view below zero",
        "before the answer",
        "position zero",
        "unknown kind",
        "no items",
        "too many items",
        "no JSON",
        "ten megabytes",
    ],
)
def test_what_breaks_the_contract_is_a_dead_letter(bad: Told | bytes) -> None:
    """With its place; nothing of the record counts."""
    topics = streamed(log((ISSUED, impression()), (ARRIVED, bad)))
    assert topics.dead == [("join", 0, 1)]
    assert (topics.mined(), reasons(topics)) == ({}, [])


def clicks(how_many: int, image: Callable[[int], str]) -> list[tuple[int, Told]]:
    """So many beacons of a click each."""
    told = []
    for number in range(how_many):
        one = click(event_id=f"c{number}", image_id=image(number), position=None) | {
            "id": f"b{number}"
        }
        told.append((ARRIVED, one))
    return told


def test_ten_thousand_clicks_of_one_session_are_a_bots() -> None:
    """They count, its search is closed with that verdict, and teaches nothing."""
    topics = streamed(log((ISSUED, impression()), *clicks(10_000, lambda n: f"p{1 + n % 6}")))
    [search] = topics.searches().values()
    assert search["verdict"] == "too_many"
    assert topics.mined() == {}


def test_the_same_click_ten_thousand_times_is_one() -> None:
    """Duplicates go to the side topic, and make nobody a bot."""
    same = [(ARRIVED, click())] * 10_000
    topics = streamed(log((ISSUED, impression()), *same))
    assert reasons(topics) == ["duplicate"] * 9_999
    assert len(topics.mined()) == 2
