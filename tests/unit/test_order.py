"""Files that wait come between files that compute, and none that takes minutes at the end."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from tests.order import SERVERS_LAST, TESTS, mixed, servers_last, tier_of

SLOW = ("chaos", "e2e", "integration")
COUNTS = {"unit": 160, "contract": 8, "chaos": 4, "e2e": 12, "integration": 24}
FILES = [
    TESTS / tier / f"test_{number:03}.py"
    for tier, count in COUNTS.items()
    for number in range(count)
]


def places(found: list[Path], *tiers: str) -> list[int]:
    """Where the files of these tiers are."""
    return [at for at, path in enumerate(found) if tier_of(path) in tiers]


def test_each_file_comes_once_with_its_tier_in_order() -> None:
    """However many of its tests are named."""
    found = mixed([*FILES, *FILES])
    assert sorted(found) == sorted(FILES)
    slow = [path for path in found if tier_of(path) in SLOW]
    assert slow == [path for tier in SLOW for path in FILES if tier_of(path) == tier]


def test_what_waits_is_spread_and_begins_first() -> None:
    """No stretch of a worker each has none of it, nor of the rest, until its last has begun."""
    found = mixed(FILES)
    slow = places(found, *SLOW)
    assert slow[0] == 0
    assert max(after - at for at, after in pairwise(slow)) <= 6
    computing = places(found, "unit", "contract")
    assert max(after - at for at, after in pairwise(computing)) <= 2
    assert len(found) - slow[-1] >= COUNTS["unit"] // 4


def test_a_tier_by_itself_is_in_order() -> None:
    """As it is where one is chosen."""
    unit = [path for path in FILES if tier_of(path) == "unit"]
    assert mixed(unit) == unit
    assert mixed([]) == []


def test_servers_may_come_late() -> None:
    """Then nothing that needs one is between."""
    found = servers_last(FILES)
    assert [*dict.fromkeys(map(tier_of, found))] == [*SERVERS_LAST]
