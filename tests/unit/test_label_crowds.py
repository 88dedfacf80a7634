"""What one session and a crowd can move under the rules of today: bounds that the docs promise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.label_crowds import Case, World, taught, version_1, version_2, weights
from sightline.stream_workers.labels.rules import LabelRules


def moved(case: Case, rules: LabelRules | None = None) -> tuple[float, float]:
    """Weight on the attacker's image, and on what twenty people chose."""
    world = World(case, names_count=False, rules=rules or LabelRules())
    return weights(version_2(world), world.target.image_id)


@pytest.mark.parametrize("searches", [1, 10, 100])
def test_a_session_weighs_one_vote_however_often(searches: int) -> None:
    """Three triples, as one person's choice of one image."""
    assert moved(Case("", searches=searches))[0] == 3


def test_a_session_that_spreads_out_is_bounded() -> None:
    """Over 100 anchors no more than 30 votes, with every vote below one."""
    assert moved(Case("", searches=100, anchors=100))[0] == pytest.approx(90)


def test_what_a_cap_removes_is_not_handed_back() -> None:
    """All of a hot anchor weighs 200 at most; under version 1 it weighed what was cut."""
    case = Case("", searches=300, sessions=300)
    assert sum(moved(case)) == 200
    before = World(case, names_count=True)
    assert sum(weights(version_1(before), before.target.image_id)) > 1_000


def test_a_minimum_of_actors_makes_a_small_crowd_worth_nothing() -> None:
    """Two are not three."""
    three = replace(LabelRules(), min_actors=3)
    assert moved(Case("", searches=2, sessions=2), three)[0] == 0
    assert moved(Case("", searches=3, sessions=3), three)[0] == 9


def test_people_lose_nothing_by_an_attack_that_is_no_crowd() -> None:
    """Their weight is the same beside it."""
    assert moved(Case("", searches=100))[1] == moved(Case(""))[1]


def test_a_session_that_clicks_a_whole_page_silences_nobody() -> None:
    """What it may silence is eight images of an anchor; without a bound nothing was left."""
    whole = Case("", searches=1, acts=24)
    assert taught(whole, LabelRules()) == taught(Case("", acts=0), LabelRules()) > 0
    assert taught(whole, replace(LabelRules(), actor_barred_images=24)) == 0
