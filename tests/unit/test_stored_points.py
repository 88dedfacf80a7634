"""What a point of the index that cannot be read costs: nothing but itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sightline.engine.event_log.embedded.journal import Journal, JournalRecord
from sightline.engine.records import IndexedDecision
from sightline.engine.vector_index.payload import (
    DECISION_TIE,
    DECISION_VERSION,
    point_id,
    to_payload,
)
from sightline.engine.vector_index.stored_decisions import decision_of
from sightline.engine.vector_index.stored_images import fence_of
from sightline.engine.vector_index.stored_points import (
    StoredPoint,
    images_of,
    known_images,
    shown_images,
)
from sightline.schemas.fields import Moderation
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, IMAGES_MODERATION
from tests.indexed_images import NOON, decision, image

GOOD = replace(image("good", 3), vector=None)
DAMAGED: list[dict[str, Any]] = [
    {"state": "not JSON"},
    {"state": '{"image_id": "bad"}'},
    {"state": '{"attributes": ' + "[" * 5_000},
    {"entry": "{}"},
    {"entry": None},
    {"winner": {}},
    {"type": "sightline.image.uploaded.v9"},
    {"since": 10**30},
    {"winner": {"topic": "images.v1", "partition": 0, "offset": float("inf")}},
]


def payload(**damage: Any) -> dict[str, Any]:
    """A blocked image's payload, with something of it replaced."""
    blocked = replace(image("bad", 7), vector=None, decision=decision("bad", 2))
    return to_payload(blocked) | damage


@pytest.mark.parametrize("damage", DAMAGED, ids=str)
def test_a_damaged_point_is_passed_over_and_known_by_its_id(damage: dict[str, Any]) -> None:
    """Scans go on; a look by id finds its fence and its block, and shows it to nobody."""
    points = [StoredPoint(payload(**damage)), StoredPoint(to_payload(GOOD))]
    assert [one.image_id for one in images_of(points)] == ["good"]
    found = known_images(zip(map(point_id, ("bad", "good")), points, strict=True), ["bad", "good"])
    assert found["good"] == GOOD
    bad = found["bad"]
    assert (bad.unreadable, bad.version, bad.listed, bad.blocked) == (True, 7, False, True)
    assert bad.fence == image("bad", 7).fence


@pytest.mark.parametrize(
    "damage",
    [
        {DECISION_VERSION: None},
        {DECISION_VERSION: 2**53},
        {DECISION_VERSION: True},
        {DECISION_TIE: "none"},
        {DECISION_TIE: float("inf")},
    ],
    ids=str,
)
@pytest.mark.parametrize("said", ["not JSON", None])
def test_a_decision_of_which_nothing_can_be_read_blocks(
    damage: dict[str, Any], said: str | None
) -> None:
    """It costs nobody's read, its image's neither, hides it, and gives way to any decision."""
    bad = blocked_of(payload(decision=said) | damage)
    assert bad.fence < decision("bad", 0).fence


@pytest.mark.parametrize("moderated", ["quarantined", "", 7, None, ["allowed"], {"a": 1}], ids=str)
def test_an_unknown_decision_blocks_until_one_is_read_that_is_not_older(moderated: Any) -> None:
    """Its own event delivered again mends it; an older one does not bring the image back."""
    for said in ({}, {"decision": "not JSON"}):
        bad = blocked_of(payload(moderated=moderated, **said))
        assert decision("bad", 1, Moderation.ALLOWED).fence < bad.fence < decision("bad", 2).fence


def test_a_decision_that_contradicts_itself_blocks() -> None:
    """Whichever of its halves says that the image may be seen."""
    assert blocked_of(payload(moderated="allowed")).fence < decision("bad", 2).fence
    allowed = decision("bad", 2, Moderation.ALLOWED)
    shown = to_payload(replace(image("bad", 7), vector=None, decision=allowed))
    assert blocked_of(shown | {"moderated": "blocked"}).fence <= allowed.fence


@pytest.mark.parametrize("left", [DECISION_VERSION, "decision"])
def test_what_is_left_of_a_decision_blocks(left: str) -> None:
    """Also where the field that filters read is gone."""
    whole = payload()
    gone = {"moderated", DECISION_VERSION, DECISION_TIE, "decision", "decision_place"} - {left}
    blocked_of({name: value for name, value in whole.items() if name not in gone})


def blocked_of(damaged: dict[str, Any]) -> IndexedDecision:
    """The block that the point's image has; a search does not return it, and status knows it."""
    points = [StoredPoint(damaged), StoredPoint(to_payload(GOOD))]
    assert [one.image_id for one in shown_images(points)] == ["good"]
    found = known_images(zip(map(point_id, ("bad", "good")), points, strict=True), ["bad", "good"])
    assert found["good"] == GOOD
    bad = found["bad"]
    assert (bad.version, bad.listed, bad.blocked) == (7, False, True)
    assert bad.decision is not None
    return bad.decision


@pytest.mark.parametrize(
    "damage",
    [
        {"version": None},
        {"version": "7"},
        {"version": 2**53},
        {"tie": float("inf")},
        {"stage": True},
        {"version": None, "tie": None, "stage": None},
    ],
    ids=str,
)
def test_a_fence_that_cannot_be_read_is_below_all(damage: dict[str, Any]) -> None:
    """Its image is known by its id, hidden, and gives way to any write."""
    damaged = payload(state="not JSON", **damage)
    assert fence_of(damaged) < image("bad", 0).fence
    bad = known_images([(point_id("bad"), StoredPoint(damaged))], ["bad"])["bad"]
    assert (bad.unreadable, bad.listed) == (True, False)
    assert bad.fence < image("bad", 0).fence


def test_of_a_damaged_decision_the_block_still_holds() -> None:
    """By the plain fields; the image is read as ever."""
    damaged = payload(decision="not JSON")
    held = decision_of(damaged, "bad")
    assert held is not None
    assert (held.blocks, held.fence) == (True, decision("bad", 2).fence)
    [shown] = images_of([StoredPoint(damaged)])
    assert shown.blocked


def test_the_journal_keeps_a_winner_of_each_kind(tmp_path: Path) -> None:
    """An image's own event and the operator's decision about it do not compete."""

    def record(topic: str, version: int) -> JournalRecord:
        return JournalRecord(
            image_id="a", version=version, tie=3 * 2**32, topic=topic, value=b"{}", appended=NOON
        )

    journal = Journal(tmp_path / "journal.sqlite")
    images, decisions = IMAGES.name, IMAGES_MODERATION.name
    journal.record([record(images, 9), record(decisions, 1), record(decisions, 2)])
    wanted = [record(images, 9), record(decisions, 2)]
    assert list(journal.winners()) == wanted
    assert list(journal.winners([images, IMAGES_BACKFILL.name])) == [record(images, 9)]
    assert list(journal.winners([decisions])) == [record(decisions, 2)]
    assert journal.compact() == 1
    assert list(journal.winners()) == wanted
    journal.forget(["a"])
    assert list(journal.winners()) == [record(decisions, 2)]
    journal.close()
