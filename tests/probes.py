"""Probes in our rooms that tell which lines and branches this process executes."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import ModuleType

from slipcover import FileMatcher, ImportManager, Slipcover

ROOT = Path(__file__).resolve().parent.parent
SEEN_OFTEN = 500
"""Hits of one probe, after which all that were hit are taken out: 40 ms of CPU each time."""
ROOMS = ("engine", "infra", "producers", "schemas", "search_api", "stream_workers", "training")


class _Probes(Slipcover):  # type: ignore[misc]
    """Takes probes out of the functions of those modules that have newly hit ones.

    A look at the functions of all modules took 130 ms, 70 times for the unit tests. What a
    decorator made for another module may keep its probes, which tell nothing new and cost little.
    """

    modules: list[ModuleType]

    def deinstrument_seen(self) -> None:
        """Take out what has been hit."""
        with self.lock:
            every, hit = self.modules, {*self.newly_seen}
            self.modules = [module for module in every if module.__file__ in hit]
            try:
                super().deinstrument_seen()
            finally:
                self.modules = every


@cache
def put_probes() -> Slipcover:
    """Put probes into what is imported from now on; a repeat returns the first one's."""
    probes = _Probes(branch=True, exclude_lines=[], d_miss_threshold=SEEN_OFTEN)
    rooms = FileMatcher(sources=[str(ROOT / room) for room in ROOMS])
    ImportManager(probes, rooms).__enter__()
    return probes


def take_out_hit_probes() -> None:
    """Take out at once what has been hit, where there are probes; a repeat does nothing."""
    if put_probes.cache_info().currsize:
        put_probes().deinstrument_seen()
