"""Outcomes of single draws of the silent labels in; in how many of them the goals are met, out.

Whether anything got worse is read three ways: by parts of sets of photos, clicked labels and others
apart; by whole sets, as the gate forms its slices; and by the gate's own margins, which leave
slices of few labels out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.photo_slices import by_set, pooled, sets_of
from benchmarks.training import Outcome
from benchmarks.training_unclicked import BEYOND
from sightline.training.evaluation.gate import GateLimits, harmless
from sightline.training.evaluation.paired import Difference

Draw = tuple[Outcome, ...]
"""Of the site's photos, some labels being silent; then of photos of other things."""
GOALS = (*BEYOND, BEYOND[1])
"""Of clicked labels, silent ones, and photos of other things."""
LIMITS = GateLimits()
ELSEWHERE = "other "


@dataclass(frozen=True)
class Said:
    """What one draw says of one strength."""

    gains: tuple[Difference, ...]
    """Clicked labels, silent ones, and photos of other things where there are any."""
    parts: Mapping[str, Difference]
    """By set of photos, clicked labels and others apart."""
    slices: Mapping[str, Difference]
    """By whole set."""
    unclicked: Difference
    """All that nobody clicked."""

    @classmethod
    def of(cls, draw: Draw, strength: float) -> Said:
        """Each set by itself; those of other things have a name of their own."""
        site, *_ = draw
        groups = [(site, site.clicked), *((each, ~each.clicked) for each in draw)]
        parts: dict[str, Difference] = {}
        slices: dict[str, Difference] = {}
        for each in draw:
            prefix = "" if each is site else ELSEWHERE
            parts |= {prefix + name: by for name, by in by_set([each], strength).items()}
            sets = sets_of(each.labels)
            for name in sorted(set(sets.tolist())):
                slices[prefix + name] = pooled([each], strength, [sets == name])
        return cls(
            gains=tuple(pooled([each], strength, [rows]) for each, rows in groups),
            parts=parts,
            slices=slices,
            unclicked=pooled(draw, strength, [~each.clicked for each in draw]),
        )

    def checks(self) -> list[bool]:
        """Each of the gains; no part and no slice shown worse; harmless to the release gate."""
        gained = [by.point >= goal for by, goal in zip(self.gains, GOALS, strict=False)]
        unhurt = [not worse(self.parts), not worse(self.slices)]
        unhurt.append(harmless(self.unclicked, self.slices, LIMITS))
        return [*gained, *unhurt, *(all(gained) and each for each in unhurt)]


def worse(slices: Mapping[str, Difference]) -> dict[str, Difference]:
    """Those whose interval lies below 0."""
    return {name: by for name, by in slices.items() if by.upper < 0}


def counted(draws: Sequence[Draw], strengths: Mapping[str, float]) -> Iterator[str]:
    """In how many draws each holds, a line for each named strength."""
    names = [f"{name} ≥ {goal:g}" for name, goal in zip(_groups(draws), GOALS, strict=False)]
    readings = ("no part shown worse", "no set shown worse", "harmless to the release gate")
    names += [*readings, *(f"all gains, {reading}" for reading in readings)]
    yield f"| of {len(draws)} draws | {' | '.join(names)} |"
    yield f"|---{'|---:' * len(names)}|"
    for name, strength in strengths.items():
        checks = zip(*(Said.of(draw, strength).checks() for draw in draws), strict=True)
        yield f"| {name} | {' | '.join(str(sum(each)) for each in checks)} |"


def each_told(draws: Sequence[Draw], strengths: Mapping[str, float]) -> Iterator[str]:
    """A line for each draw at each named strength: its gains, and the parts shown to be worse."""
    names = _groups(draws)
    yield f"| | draw | {' | '.join(names)} | parts shown to be worse, by so many labels |"
    yield f"|---|---:{'|---:' * len(names)}|---|"
    for name, strength in strengths.items():
        for number, draw in enumerate(draws):
            said = Said.of(draw, strength)
            gains = " | ".join(f"{100 * by.point:+.1f}" for by in said.gains)
            parts = "; ".join(f"{part} {_told(by)}" for part, by in worse(said.parts).items())
            yield f"| {name} | {number} | {gains} | {parts} |"


def _groups(draws: Sequence[Draw]) -> list[str]:
    names = ("clicked", "silent", "other things")
    return list(names[: len(draws[0]) + 1])


def _told(by: Difference) -> str:
    bounds = f"[{100 * by.lower:+.1f}, {100 * by.upper:+.1f}]"
    return f"{100 * by.point:+.1f} {bounds} by {by.clusters}"
