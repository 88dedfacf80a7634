"""Which parts of a deployment the roll-out benchmark kills, and which answers it may miss."""

from __future__ import annotations

from collections import Counter

from benchmarks.rollout_killing.people import Doors
from benchmarks.rollout_killing.story import COMMAND, STORY, kills_of

PARTS = ["node", "broker", COMMAND]


def test_each_part_is_killed_as_often_as_is_said() -> None:
    """At moments of the story in their order, the same for the same seed."""
    kills = kills_of(10, seed=1, parts=PARTS)
    assert Counter(kill.victim for kill in kills) == dict.fromkeys(PARTS, 10)
    assert [kill.step for kill in kills] == sorted(kill.step for kill in kills)
    assert kills == kills_of(10, seed=1, parts=PARTS)
    assert kills != kills_of(10, seed=2, parts=PARTS)


def test_the_command_is_killed_only_where_there_is_one() -> None:
    """Switch and rollback are one step of the record."""
    steps = {STORY[kill.step].what for kill in kills_of(40, seed=3, parts=[COMMAND])}
    assert steps == {"reindex"}


def test_only_an_address_that_was_open_all_the_time_must_have_answered() -> None:
    """One that was shut and opened again meanwhile was killed under the request."""
    doors = Doors()
    doors.open("a")
    doors.open("b")
    (first, second) = doors.opened()
    doors.shut("a")
    assert not doors.still(first)
    assert doors.still(second)
    doors.open("a")
    assert not doors.still(first)
    assert [url for url, _ in doors.opened()] == ["a", "b"]
