"""Simulated records through join and miner in this process; tables into a page between marks."""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sightline.engine.event_log.partitions import partition_of
from sightline.producers.click_simulator.simulated_log import SimulatedRecord
from sightline.stream_workers.labels.codecs.searches import ClosedRecord, Search, decode_searches
from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.done_epochs import DoneEpochs
from sightline.stream_workers.labels.effects import Destination, FinishedEpochs
from sightline.stream_workers.labels.join.closing import Source
from sightline.stream_workers.labels.join.core import JoinCore
from sightline.stream_workers.labels.mine.epoch import (
    Click,
    Clicked,
    clicked_by_people,
    mine_search,
    no_negatives,
)
from sightline.stream_workers.labels.rules import LabelRules

PARTITIONS = 4
Epochs = dict[int, list[tuple[int, Search]]]
"""Of each epoch the searches, each with its source partition."""
Triples = list[tuple[str, Mined]]


def closing_ms(rules: LabelRules) -> int:
    """How long after the last record a tick closes everything."""
    return rules.epoch_ms + rules.window_ms + rules.lateness_ms + 1


def closed_searches(records: Iterable[SimulatedRecord], rules: LabelRules) -> Epochs:
    """What the join makes of records; the last of them closes everything."""
    cores = [
        JoinCore(rules, Source("interactions.v1", p, PARTITIONS), DoneEpochs())
        for p in range(PARTITIONS)
    ]
    offsets = [0] * PARTITIONS
    epochs: Epochs = {}
    for record in records:
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
            record = decode_searches(sent.value)
            assert isinstance(record, ClosedRecord)
            closed = record.data
            epochs.setdefault(closed.epoch, []).extend(
                (closed.source_partition, search) for search in closed.searches
            )


def triples_by_anchor(
    epochs: Epochs, rules: LabelRules, *, others: bool = True
) -> Iterator[tuple[int, Triples]]:
    """What single searches make, before votes and caps: per epoch and anchor.

    Args:
        epochs: of the join.
        rules: the numbers.
        others: whether what other people clicked is no negative.
    """
    history = history_of(epochs, rules) if others else {}
    for epoch, searches in epochs.items():
        found: defaultdict[str, Triples] = defaultdict(list)
        for _, search in sorted(searches, key=lambda pair: pair[1].search_id):
            clicks = clicks_for(search.anchor_id, history.get(epoch, ()))
            found[search.anchor_id] += mine_search(search, no_negatives(clicks, rules), rules)
        yield from ((epoch, triples) for triples in found.values())


def history_of(epochs: Epochs, rules: LabelRules) -> dict[int, list[Clicked]]:
    """What people clicked in each epoch and in those before it that the rules look back to."""
    clicked = {e: clicked_by_people(s for _, s in searches) for e, searches in epochs.items()}
    return {
        epoch: [clicked.get(e, {}) for e in range(epoch - rules.history, epoch + 1)]
        for epoch in epochs
    }


def clicks_for(anchor_id: str, history: Iterable[Clicked]) -> frozenset[Click]:
    """Who clicked what for an anchor."""
    return frozenset[Click]().union(*(epoch.get(anchor_id, ()) for epoch in history))


def images_of(clicked: Clicked) -> dict[str, set[str]]:
    """Per anchor what people clicked for it, whoever they were."""
    return {anchor: {image for _, image in clicks} for anchor, clicks in clicked.items()}


def put_between_marks(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name: begin -->` and `<!-- name: end -->`."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    marked = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    page.write_text(marked.sub(lambda _: f"{begin}\n{text}\n{end}", page.read_text()))


def print_lines(lines: Iterable[str], mark: str, page: Path | None) -> None:
    """Print each line as it is made; put all between their marks in a page, if one is named."""
    made = []
    for line in lines:
        made.append(line)
        print(line, flush=True)
    if page:
        put_between_marks(page, mark, "\n".join(made))


def print_table(
    doc: str | None, mark: str, table: Callable[[Path, int], str], *, photos: Path, records: int
) -> None:
    """Print a table of simulated records over photos, or put it between its marks in a page.

    Args:
        doc: the command's.
        mark: the table's in the page.
        table: makes it as Markdown, of a folder of photos and a number of records.
        photos: the folder, where the command line names none.
        records: so many, where the command line does not say.
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--photos", type=Path, default=photos)
    parser.add_argument("--records", type=int, default=records)
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    text = table(arguments.photos, arguments.records)
    print(text)
    if arguments.write:
        put_between_marks(arguments.write, mark, text)
