"""What an attacker and a crowd of n can move, under rules version 1 and 2.

    python -m benchmarks.label_crowds [--write docs/labels.md]

Twenty people search by one anchor and do what people do; somebody else wants one image of another
label to be found for it. All within one epoch, below every bot threshold. A second table: what is
left of the people's triples where somebody clicks the images of their page to silence them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from benchmarks.label_replay import (
    Epochs,
    Triples,
    closed_searches,
    closing_ms,
    put_between_marks,
    triples_by_anchor,
)
from sightline.producers.click_simulator.attack import Attack
from sightline.producers.click_simulator.catalogue import (
    CatalogueShape,
    SimulatedCatalogue,
    SimulatedPicture,
)
from sightline.producers.click_simulator.delivery import Network
from sightline.producers.click_simulator.simulated_log import SimulatedLog, SimulatedRecord, Site
from sightline.producers.click_simulator.user_model import Visit, VisitorAct
from sightline.schemas.interactions import Kind
from sightline.schemas.searches import ShownImage
from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.mine.epoch import bounded
from sightline.stream_workers.labels.mine.votes import voters_of
from sightline.stream_workers.labels.rules import LabelRules

SEED = 20_260_301
PEOPLE = 20
MIN_ACTORS = 3
START_MS = 1_780_000_200_000
"""Well inside an epoch, which everything fits."""
PACE_MS = 300
CALM = Network(delay_ms=0, late=0, repeated=0)


@dataclass(frozen=True)
class Case:
    """What somebody does."""

    told: str
    searches: int = 0
    sessions: int = 1
    anchors: int = 1
    acts: int = 1
    kind: Kind = Kind.CONVERTED
    as_somebody: bool = False
    """In the name of one of the people; version 2 lets no such key name anybody."""


CASES = (
    Case("nobody"),
    Case("one session, 1 conversion", searches=1),
    Case("one session, 10 searches with 1 conversion each", searches=10),
    Case("one session, 100 searches with 1 conversion each", searches=100),
    Case("one session, 1 search with 100 conversions", searches=1, acts=100),
    Case("one session, 100 anchors with 1 conversion each", searches=100, anchors=100),
    Case("a crowd of 2 sessions, 1 conversion each", searches=2, sessions=2),
    Case("a crowd of 5", searches=5, sessions=5),
    Case("a crowd of 20", searches=20, sessions=20),
    Case("a crowd of 100", searches=100, sessions=100),
    Case("a crowd of 300", searches=300, sessions=300),
    Case("121 likes in the name of one of the people", 1, acts=121, kind=Kind.LIKED,
         as_somebody=True),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Silence(Attack):
    """Clicks images of a page for a moment, so that they are no negatives for anybody."""

    first: int
    images: int

    def page(self, shown: Sequence[ShownImage]) -> tuple[ShownImage, ...]:
        """The page as everybody sees it."""
        return tuple(shown)

    def visit(self, shown: int) -> Visit:
        """Short clicks, which teach nothing else."""
        places = range(self.first, min(self.first + self.images, shown + 1))
        acts = [VisitorAct(1_000 + at, Kind.CLICKED, at, dwell_ms=500) for at in places]
        return Visit(acts, shown)


SILENCES = (
    Case("nobody", acts=0),
    Case("one session, 8 images", searches=1, acts=8),
    Case("one session, all 24", searches=1, acts=24),
    Case("2 sessions, 8 images each", searches=2, sessions=2, acts=8),
    Case("3 sessions, 8 images each", searches=3, sessions=3, acts=8),
)


class StillCatalogue(SimulatedCatalogue):
    """Ranks an anchor's page the same for everybody, as an index does."""

    def ranking(self, anchor: SimulatedPicture, random: Random) -> tuple[ShownImage, ...]:
        """See `SimulatedCatalogue.ranking`."""
        del random
        return super().ranking(anchor, Random(anchor.image_id))  # noqa: S311 - a simulation


@dataclass
class World:
    """One epoch: the people, and what somebody does among them."""

    case: Case
    names_count: bool
    """Whether the attacker may say that it is somebody else."""
    rules: LabelRules = field(default_factory=LabelRules)

    def __post_init__(self) -> None:
        self.catalogue = SimulatedCatalogue(CatalogueShape(), SEED)
        self.log = SimulatedLog(self.catalogue, Site(), network=CALM, seed=SEED)
        self.anchor, self.target = self.catalogue.pictures[0], self.catalogue.pictures[-1]

    def epochs(self) -> Epochs:
        """What the join makes of it."""
        return closed_searches(self._records(), self.rules)

    def _records(self) -> Iterator[SimulatedRecord]:
        told = [record for records in self._searches() for record in records]
        for arrival_ms, key, value in sorted(told, key=lambda record: record[0]):
            yield SimulatedRecord(arrival_ms, key, value)
        last_ms = max(arrival_ms for arrival_ms, _, _ in told)
        yield self.log.tick(last_ms + closing_ms(self.rules))

    def _searches(self) -> Iterator[Iterator[tuple[int, str, bytes]]]:
        for number in range(PEOPLE):
            yield self.log.searched(START_MS + number * PACE_MS, f"person-{number}", self.anchor)
        for number in range(self.case.searches):
            yield self.log.attacked(START_MS + number * PACE_MS, self._attack(number))

    def _attack(self, number: int) -> Attack:
        case = self.case
        name = f"session-{number % case.sessions}"
        return Attack(
            anchor=self.catalogue.pictures[number % case.anchors],
            target=self.target,
            acts=case.acts,
            kind=case.kind,
            in_the_name_of="person-0" if case.as_somebody and self.names_count else name,
        )


@dataclass
class SilencedWorld(World):
    """The same people before one page, and somebody who wants them to teach nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.catalogue = StillCatalogue(CatalogueShape(), SEED)
        self.log = SimulatedLog(self.catalogue, Site(), network=CALM, seed=SEED)

    def _attack(self, number: int) -> Attack:
        return Silence(
            anchor=self.anchor,
            target=self.anchor,
            first=1 + number * self.case.acts,
            images=self.case.acts,
            in_the_name_of=f"session-{number}",
        )


def taught(case: Case, rules: LabelRules) -> int:
    """How many triples the people's searches make."""
    triples = version_2(SilencedWorld(case, names_count=False, rules=rules))
    return sum(mined.search.actor_id.startswith("person-") for mined in triples)


def silences() -> str:
    """The second table as Markdown."""
    rules = LabelRules()
    unbounded = replace(rules, actor_barred_images=10**9)
    lines = [
        f"Triples of {PEOPLE} people's searches by one anchor, one page; seed {SEED}.",
        "",
        f"| besides {PEOPLE} people | no bound | {rules.actor_barred_images} images an actor |",
        "|---|---:|---:|",
        *(f"| {c.told} | {taught(c, unbounded)} | {taught(c, rules)} |" for c in SILENCES),
    ]
    return "\n".join(lines)


def weights(triples: Iterator[Mined], target: str) -> tuple[float, float]:
    """On the attacker's image, and on all that the people chose."""
    bought = chosen = 0.0
    for mined in triples:
        if mined.positive_id == target:
            bought += mined.sampling_weight
        else:
            chosen += mined.sampling_weight
    return bought, chosen


def capped_by_version_1(triples: Triples, rules: LabelRules) -> Triples:
    """The hot anchor of rules version 1: the k smallest ids, each with weight n / k."""
    kept = sorted(triples, key=lambda pair: pair[0])[: rules.hot_anchor_triples]
    for _, mined in kept:
        mined.sampling_weight = len(triples) / len(kept)
    return kept


def version_1(world: World) -> Iterator[Mined]:
    """Every act teaches; what the cap on hot anchors removes comes back as weight."""
    for _, triples in triples_by_anchor(world.epochs(), world.rules):
        yield from _mined(capped_by_version_1(triples, world.rules))


def version_2(world: World) -> Iterator[Mined]:
    """As it is mined."""
    epochs = world.epochs()
    for epoch, triples in triples_by_anchor(epochs, world.rules):
        voters = [voters_of(search for _, search in epochs[epoch])]
        yield from _mined(bounded(triples, voters, world.rules))


def _mined(triples: Triples) -> Iterator[Mined]:
    return (mined for _, mined in triples)


def _row(case: Case) -> str:
    rules = LabelRules()
    before, after = World(case, names_count=True), World(case, names_count=False)
    careful = World(case, names_count=False, rules=replace(rules, min_actors=MIN_ACTORS))
    told = (version_1(before), version_2(after), version_2(careful))
    found = [weights(triples, before.target.image_id) for triples in told]
    return f"| {case.told} | " + " | ".join(f"{b:.0f} : {c:.0f}" for b, c in found) + " |"


def table() -> str:
    """The table as Markdown."""
    head = f"| besides {PEOPLE} people | version 1 | version 2 | 2, `min_actors` = {MIN_ACTORS} |"
    lines = [
        f"Sampling weight on the attacker's image : on what the people chose; seed {SEED}.",
        "",
        head,
        "|---|---:|---:|---:|",
        *map(_row, CASES),
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the tables, or put them between their marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    for mark, text in (("label crowds", table()), ("label silences", silences())):
        print(text)
        if arguments.write:
            put_between_marks(arguments.write, mark, text)


if __name__ == "__main__":
    main()
