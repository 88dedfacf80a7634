"""Precision of positives and negatives against the simulator's truth, with and without each guard.

    python -m benchmarks.label_guards [--events 40000] [--photos FOLDER] [--write docs/labels.md]

On the made-up catalogue, or on train photos that the shipped model ranks. The join and the miner
see the simulated records only; the truth is opened when they are done. One attacker is among the
visitors: below every bot threshold, for one anchor, in a session of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import msgspec

from benchmarks.label_replay import (
    Epochs,
    Triples,
    clicks_for,
    closed_searches,
    closing_ms,
    history_of,
    images_of,
    put_between_marks,
    triples_by_anchor,
)
from benchmarks.photo_models import photo_site
from sightline.engine.event_log.partitions import partition_of
from sightline.producers.click_simulator.attack import Attack
from sightline.producers.click_simulator.catalogue import (
    CatalogueShape,
    SearchedCatalogue,
    SimulatedCatalogue,
)
from sightline.producers.click_simulator.simulated_log import SimulatedLog, Site
from sightline.producers.click_simulator.truth import Truth
from sightline.stream_workers.labels.codecs.searches import Search
from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.mine.epoch import Clicked
from sightline.stream_workers.labels.mine.votes import cap_actors, one_vote_each
from sightline.stream_workers.labels.rules import LabelRules

EVENTS = 40_000
SEED = 20_260_301
ATTACKED = 0.03
"""Of all searches: some 90 in an epoch, one conversion each."""
TARGETS = 12
"""Partitions of the closed searches in production: each miner sees one."""


@dataclass(frozen=True)
class Guards:
    """Which guards are on."""

    bots: bool = True
    near_duplicates: bool = True
    unexamined: bool = True
    others: bool = True
    votes: bool = True
    actors: bool = True


@dataclass(frozen=True)
class Precision:
    """How many triples, how much of their weight is truly so, and how much is the attacker's."""

    triples: int
    positives: float
    negatives: float
    both: float
    attacker: float


def uncapped(rules: LabelRules) -> LabelRules:
    """The same without bounds on anchors and negatives."""
    return replace(rules, hot_anchor_triples=10**9, popular_negative_triples=10**9)


def mine(epochs: Epochs, rules: LabelRules, guards: Guards) -> Iterator[Mined]:
    """Every triple, with no cap on anchors and negatives, and with some guards off."""
    rules = uncapped(rules)
    if not guards.near_duplicates:
        rules = replace(rules, near_duplicate_bits=-1)
    changed = {epoch: _without(searches, guards) for epoch, searches in epochs.items()}
    for _, triples in triples_by_anchor(changed, rules, others=guards.others):
        yield from (mined for _, mined in _bounded(triples, rules, guards))


def _bounded(triples: Triples, rules: LabelRules, guards: Guards) -> Triples:
    voted = one_vote_each(triples) if guards.votes else triples
    return cap_actors(voted, rules) if guards.actors else voted


def _without(searches: list[tuple[int, Search]], guards: Guards) -> list[tuple[int, Search]]:
    changes: dict[str, object] = {}
    if not guards.bots:
        changes["verdict"] = "person"
    if not guards.unexamined:
        changes["examined"] = 100
    return [(source, msgspec.structs.replace(search, **changes)) for source, search in searches]


def two_clicks_away(epochs: Epochs, rules: LabelRules, *, targets: int) -> Iterator[Mined]:
    """All guards, and no negative that shares a clicked image with its anchor (not in the rules).

    Args:
        epochs: of the join.
        rules: the numbers.
        targets: partitions of the miner, which sees the clicks of its own anchors alone.
    """
    history = history_of(epochs, rules)
    for epoch, triples in triples_by_anchor(epochs, uncapped(rules)):
        near: frozenset[str] | None = None
        for _, mined in _bounded(triples, rules, Guards()):
            if near is None:
                near = _within_two(mined.anchor_id, _seen(mined.anchor_id, history[epoch], targets))
            if mined.negative_id not in near:
                yield mined


_partition = cache(partition_of)


def _seen(anchor_id: str, history: list[Clicked], targets: int) -> dict[str, set[str]]:
    """The clicks of all anchors of this one's partition."""
    home = _partition(anchor_id, targets)
    anchors = {a for epoch in history for a in epoch if _partition(a, targets) == home}
    return images_of({anchor: set(clicks_for(anchor, history)) for anchor in anchors})


def _within_two(anchor_id: str, clicked: dict[str, set[str]]) -> frozenset[str]:
    own = clicked.get(anchor_id, set())
    alike = (c for anchor, c in clicked.items() if anchor in own or not c.isdisjoint(own))
    return frozenset(own.union(*alike))


def precision(triples: Iterable[Mined], truth: Truth, attack: Attack) -> Precision:
    """Against the labels: a positive should have the anchor's, a negative should not."""
    count, total, good, bad, both, bought = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    for mined in triples:
        positive = truth.is_relevant(mined.anchor_id, mined.positive_id)
        negative = not truth.is_relevant(mined.anchor_id, mined.negative_id)
        weight = mined.sampling_weight
        count += 1
        total += weight
        good += weight * positive
        bad += weight * negative
        both += weight * (positive and negative)
        pair = (mined.anchor_id, mined.positive_id)
        bought += weight * (pair == (attack.anchor.image_id, attack.target.image_id))
    share = 1 / max(total, 1e-9)
    return Precision(count, good * share, bad * share, both * share, bought * share)


OFF = Guards(*(False for _ in range(6)))
CASES: tuple[tuple[str, Guards], ...] = (
    ("none", OFF),
    ("+ bots", replace(OFF, bots=True)),
    ("+ unexamined", replace(OFF, bots=True, unexamined=True)),
    ("+ near-duplicates", Guards(others=False, votes=False, actors=False)),
    ("+ clicked by others", Guards(votes=False, actors=False)),
    ("+ one vote", Guards(actors=False)),
    ("+ bounds per actor (all)", Guards()),
    ("all but bots", Guards(bots=False)),
    ("all but unexamined", Guards(unexamined=False)),
    ("all but near-duplicates", Guards(near_duplicates=False)),
    ("all but clicked by others", Guards(others=False)),
)


def made_up() -> SearchedCatalogue:
    """The catalogue of chance: 60 labels, each image as likely wrong as another."""
    return SimulatedCatalogue(CatalogueShape(), SEED)


def table(events: int, catalogue: SearchedCatalogue) -> str:
    """The table as Markdown."""
    rules = LabelRules()
    pictures = catalogue.pictures
    attack = Attack(anchor=pictures[0], target=pictures[-1], share=ATTACKED)
    log = SimulatedLog(catalogue, Site(attack=attack), seed=SEED)
    epochs = closed_searches(log.records(events, end_ms=closing_ms(rules)), rules)
    lines = [
        f"{events:,} simulated records, seed {SEED}, no caps on anchors and negatives;",
        f"{ATTACKED:.0%} of the searches are one attacker's. Precision by weight against labels.",
        "",
        "| guards | triples | positives | negatives | both right | the attacker's pair |",
        "|---|---:|---:|---:|---:|---:|",
    ]

    def row(name: str, triples: Iterator[Mined]) -> str:
        found = precision(triples, log.truth, attack)
        return (
            f"| {name} | {found.triples:,} | {found.positives:.3f} | {found.negatives:.3f} "
            f"| {found.both:.3f} | {found.attacker:.4f} |"
        )

    lines += [row(name, mine(epochs, rules, guards)) for name, guards in CASES]
    for name, targets in (("all anchors seen", 1), ("a twelfth seen", TARGETS)):
        beyond = two_clicks_away(epochs, rules, targets=targets)
        lines.append(row(f"*not in the rules*: all, not within two clicks, {name}", beyond))
    return "\n".join(lines)


def main() -> None:
    """Print the table, or put it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--photos", type=Path, help="a folder with manifest.csv")
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    photos: Path | None = arguments.photos
    catalogue = photo_site(photos).catalogue() if photos else made_up()
    text = table(arguments.events, catalogue)
    print(text)
    if arguments.write:
        name = "label guards on photos" if photos else "label guards"
        put_between_marks(arguments.write, name, text)


if __name__ == "__main__":
    main()
