"""Precision of positives and negatives against the simulator's truth, with and without each guard.

    python benchmarks/label_guards.py [--events 60000] [--write docs/labels.md]

The join and the miner see the simulated records only; the truth is opened when they are done.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from sightline.engine.event_log.partitions import partition_of
from sightline.producers.click_simulator.catalogue import CatalogueShape, SimulatedCatalogue
from sightline.producers.click_simulator.simulated_log import SimulatedLog, Site
from sightline.producers.click_simulator.truth import Truth
from sightline.stream_workers.labels.codecs.searches import ClosedRecord, Search, decode
from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.done_epochs import DoneEpochs
from sightline.stream_workers.labels.effects import Destination, FinishedEpochs
from sightline.stream_workers.labels.join.closing import Source
from sightline.stream_workers.labels.join.core import JoinCore
from sightline.stream_workers.labels.mine.epoch import clicked_by_people, mine_epoch
from sightline.stream_workers.labels.rules import LabelRules

PARTITIONS = 4
SEED = 20_260_301
BEGIN, END = "<!-- label guards: begin -->", "<!-- label guards: end -->"
Epochs = dict[int, list[tuple[int, Search]]]


@dataclass(frozen=True)
class Guards:
    """Which guards are on."""

    bots: bool = True
    near_duplicates: bool = True
    unexamined: bool = True
    others: bool = True


@dataclass(frozen=True)
class Precision:
    """How many triples, and how many of their sides are truly so."""

    triples: int
    positives: float
    negatives: float
    both: float


def closed_searches(log: SimulatedLog, events: int, rules: LabelRules) -> Epochs:
    """What the join makes of a simulated log, in this process."""
    cores = [
        JoinCore(rules, Source("interactions.v1", p, PARTITIONS), DoneEpochs())
        for p in range(PARTITIONS)
    ]
    offsets = [0] * PARTITIONS
    epochs: Epochs = {}
    span_ms = rules.epoch_ms + rules.window_ms + rules.lateness_ms + 1
    for record in log.records(events, end_ms=span_ms):
        keyed = record.key is not None
        homes = [partition_of(record.key or "", PARTITIONS)] if keyed else range(PARTITIONS)
        for home in homes:
            effects = cores[home].apply(offsets[home], record.timestamp_ms, record.value)
            offsets[home] += 1
            for effect in effects:
                if isinstance(effect, FinishedEpochs):
                    _keep(effect, epochs)
                    cores[home].finish(effect.done)
    return epochs


def _keep(effect: FinishedEpochs, epochs: Epochs) -> None:
    for sent in effect.records():
        if sent.destination is Destination.CLOSED:
            record = decode(sent.value)
            assert isinstance(record, ClosedRecord)
            closed = record.data
            epochs.setdefault(closed.epoch, []).extend(
                (closed.source_partition, search) for search in closed.searches
            )


def mine(epochs: Epochs, rules: LabelRules, guards: Guards) -> Iterator[Mined]:
    """Every triple, uncapped, with some guards off."""
    rules = replace(
        rules,
        near_duplicate_bits=rules.near_duplicate_bits if guards.near_duplicates else -1,
        hot_anchor_triples=10**9,
        popular_negative_triples=10**9,
    )
    changed = {epoch: _without(searches, guards) for epoch, searches in epochs.items()}
    clicked = {
        epoch: clicked_by_people(search for _, search in searches) if guards.others else {}
        for epoch, searches in changed.items()
    }
    for epoch, searches in changed.items():
        history = [clicked.get(e, {}) for e in range(epoch - rules.history, epoch + 1)]
        for _, mined in mine_epoch(searches, history, rules):
            yield mined


def _without(searches: list[tuple[int, Search]], guards: Guards) -> list[tuple[int, Search]]:
    changes: dict[str, object] = {}
    if not guards.bots:
        changes["verdict"] = "person"
    if not guards.unexamined:
        changes["examined"] = 100
    return [(source, msgspec.structs.replace(search, **changes)) for source, search in searches]


def precision(triples: Iterable[Mined], truth: Truth) -> Precision:
    """Against the labels: a positive should have the anchor's, a negative should not."""
    total = good = bad = both = 0
    for mined in triples:
        positive = truth.is_relevant(mined.anchor_id, mined.positive_id)
        negative = not truth.is_relevant(mined.anchor_id, mined.negative_id)
        total += 1
        good += positive
        bad += negative
        both += positive and negative
    share = 1 / max(total, 1)
    return Precision(total, good * share, bad * share, both * share)


OFF = Guards(bots=False, near_duplicates=False, unexamined=False, others=False)
CASES: tuple[tuple[str, Guards], ...] = (
    ("none", OFF),
    ("+ bots", replace(OFF, bots=True)),
    ("+ unexamined", replace(OFF, bots=True, unexamined=True)),
    ("+ near-duplicates", Guards(others=False)),
    ("+ clicked by others (all)", Guards()),
    ("all but bots", Guards(bots=False)),
    ("all but unexamined", Guards(unexamined=False)),
    ("all but near-duplicates", Guards(near_duplicates=False)),
)


def table(events: int) -> str:
    """The table as Markdown."""
    rules = LabelRules()
    log = SimulatedLog(SimulatedCatalogue(CatalogueShape(), SEED), Site(), seed=SEED)
    epochs = closed_searches(log, events, rules)
    lines = [
        f"{events:,} simulated records, seed {SEED}, caps off; precision against the labels.",
        "",
        "| guards | triples | positives | negatives | both right |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, guards in CASES:
        found = precision(mine(epochs, rules, guards), log.truth)
        lines.append(
            f"| {name} | {found.triples:,} | {found.positives:.3f} | {found.negatives:.3f} "
            f"| {found.both:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table, or put it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    text = table(arguments.events)
    print(text)
    if arguments.write:
        page = arguments.write.read_text()
        marked = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
        arguments.write.write_text(marked.sub(f"{BEGIN}\n{text}\n{END}", page))


if __name__ == "__main__":
    main()
