"""In which order a run hands out the files of its tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SPREAD = {
    ("chaos", "e2e", "integration"): 0.75,  # what takes minutes must not be left for the end
    ("contract",): 0.75,
    ("unit",): 1.0,
}
"""By groups of tiers: over which part of the run, counted in their own files, they are spread."""
SERVERS_LAST = ("unit", "contract", "chaos", "e2e", "integration")


def tier_of(path: Path) -> str:
    """The tier of a file of tests, which is its folder."""
    return path.relative_to(TESTS).parts[0]


def mixed(paths: Iterable[Path]) -> list[Path]:
    """Each file once; each group's evenly between those of the others.

    The slow tiers mostly wait for servers, the others compute: where all workers have files of one
    kind at once, cores are idle or fought for.
    """
    files = list(dict.fromkeys(paths))
    places: dict[Path, float] = {}
    for tiers, until in SPREAD.items():
        own = [path for tier in tiers for path in files if tier_of(path) == tier]
        places |= {path: at / len(own) * until for at, path in enumerate(own)}
    return sorted(places, key=places.__getitem__)


def servers_last(paths: Iterable[Path]) -> list[Path]:
    """Each file once; first those that need no server, since one is still fetched or built."""
    return sorted(dict.fromkeys(paths), key=lambda path: SERVERS_LAST.index(tier_of(path)))
