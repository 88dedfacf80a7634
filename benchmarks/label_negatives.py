"""How right mined negatives are on real pages, and what each guard at the data set is worth.

    python -m benchmarks.label_negatives [--photos FOLDER] [--records N] [--write docs/labels.md]

The pages are ranked by the shipped model over the train photos; the last column by a model that was
trained on the clicks of the first. A negative is right if it has not the anchor's label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from benchmarks.label_replay import images_of, print_table
from benchmarks.photo_clicks import CLEAN, DEFAULT, NOISY, Clicks, mined, triple_table
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_in, photo_site
from sightline.engine.event_log.partitions import partition_of
from sightline.schemas.labels import Verdict
from sightline.stream_workers.labels.mine.epoch import clicked_by_people
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.datasets.click_graph import ClickGraph, certain_triples
from sightline.training.datasets.pairs import ClickPairs, pairs_of

RECORDS = 92_000
"""Some 100,000 clicks."""
SEED = 1
STRENGTH = 0.6
MINERS = 12
"""Partitions of the closed searches in production: each miner sees one."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Guarded:
    """What a guard leaves of the mined triples."""

    name: str
    right: float
    """The part of what is kept whose negative is truly one."""
    kept: float


@dataclass(frozen=True)
class Negatives:
    """Triples as columns, their images numbered as those of the pairs that they make."""

    table: pa.Table
    pairs: ClickPairs
    epoch: NDArray[np.int64]
    anchor: NDArray[np.int64]
    negative: NDArray[np.int64]

    @classmethod
    def of(cls, clicks: Clicks, rules: LabelRules) -> Negatives:
        """Mines the clicks under all rules."""
        table = triple_table(mined(clicks, rules), rules)
        pairs = pairs_of(table)
        row = {image: at for at, image in enumerate(pairs.images)}
        anchor, negative = (
            np.array([row[image] for image in table[column].to_pylist()], np.int64)
            for column in ("anchor_id", "negative_id")
        )
        return cls(table, pairs, table["epoch"].to_numpy(), anchor, negative)

    def clicked(self) -> Mask:
        """Whether anybody preferred the negative for this anchor, at any time."""
        count = len(self.pairs.images)
        pairs = self.pairs.anchor.astype(np.int64) * count + self.pairs.positive
        return np.isin(self.anchor * count + self.negative, pairs)

    def near(self) -> Mask:
        """Whether the negative lies within two clicks of its anchor."""
        return ClickGraph.of(self.pairs).near(self.anchor, self.negative)

    def certain(self) -> Mask:
        """Whether `sightline triples export --certain 2` keeps the triple."""
        return certain_triples(self.table)

    def near_to_a_miner(self, clicks: Clicks, rules: LabelRules) -> Mask:
        """The same, to a miner: it sees a twelfth of the anchors, and H epochs before its own."""
        near: dict[tuple[int, str], frozenset[str]] = {}
        acts = {
            e: images_of(clicked_by_people(s for _, s in each)) for e, each in clicks.epochs.items()
        }
        for epoch in acts:
            history = [acts.get(past, {}) for past in range(epoch - rules.history, epoch + 1)]
            near |= {(epoch, anchor): reach for anchor, reach in _reach_of_miners(history)}
        images = self.pairs.images
        triples = zip(
            self.epoch.tolist(), self.anchor.tolist(), self.negative.tolist(), strict=True
        )
        return np.array(
            [images[negative] in near[e, images[anchor]] for e, anchor, negative in triples]
        )

    def passed_over(self, clicks: Clicks) -> NDArray[np.int64]:
        """How often people saw the negative on pages of its anchor."""
        times = Counter(_passed_over(clicks))
        images = self.pairs.images
        pairs = zip(self.anchor.tolist(), self.negative.tolist(), strict=True)
        return np.array([times[images[anchor], images[negative]] for anchor, negative in pairs])

    def wrong(self, clicks: Clicks) -> Mask:
        """Whether the negative truly answers its anchor."""
        labels = np.array([clicks.truth.labels[image] for image in self.pairs.images])
        wrong: Mask = labels[self.anchor] == labels[self.negative]
        return wrong


def _reach_of_miners(
    history: Sequence[dict[str, set[str]]],
) -> Iterator[tuple[str, frozenset[str]]]:
    """Of each anchor what was clicked for it, or for one that shares a clicked image with it."""
    seen: defaultdict[str, set[str]] = defaultdict(set)
    askers: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    for epoch in history:
        for anchor, images in epoch.items():
            seen[anchor] |= images
            for image in images:
                askers[partition_of(anchor, MINERS), image].add(anchor)
    for anchor, images in seen.items():
        home = partition_of(anchor, MINERS)
        alike = {other for image in images for other in askers[home, image]}
        yield anchor, frozenset(images.union(alike, *(seen[other] for other in alike)))


def _passed_over(clicks: Clicks) -> Iterator[tuple[str, str]]:
    for searches in clicks.epochs.values():
        for _, search in searches:
            if search.verdict == Verdict.PERSON.value:
                for image in search.shown:
                    if not image.grade and image.position <= search.examined:
                        yield search.anchor_id, image.image_id


def guards(clicks: Clicks, rules: LabelRules) -> list[Guarded]:
    """The triples as mined, and what each guard over all that was read leaves of them."""
    found = Negatives.of(clicks, rules)
    wrong, clicked, times = found.wrong(clicks), found.clicked(), found.passed_over(clicks)
    kept = {
        "as mined": np.ones(len(wrong), bool),
        "never clicked for this anchor": ~clicked,
        **{
            f"the same, and passed over {least} times or more": ~clicked & (times >= least)
            for least in (3, 5)
        },
        "not within two clicks": ~found.near(),
        "that in 2 searches of the triples, or passed over in 5": found.certain(),
        "not within two clicks, as one of 12 miners could tell": ~found.near_to_a_miner(
            clicks, rules
        ),
    }
    return [
        Guarded(name, float(1 - wrong[mask].mean()) if mask.any() else 1.0, float(mask.mean()))
        for name, mask in kept.items()
    ]


def logs(site: PhotoSite, records: int, rules: LabelRules) -> Iterator[tuple[str, Clicks]]:
    """What is mined: several people, shorter logs, and the pages of a better model."""
    default = site.clicks(DEFAULT, records, rules, seed=SEED)
    yield "default", default
    yield "first 10k clicks", default.first(10_000)
    yield "first 1k", default.first(1_000)
    yield "clean", site.clicks(CLEAN, records, rules, seed=SEED)
    yield "noisy", site.clicks(NOISY, records, rules, seed=SEED)
    graded = replace(site, families=True)
    yield "a family is half an answer", graded.clicks(DEFAULT, records, rules, seed=SEED)
    learnt = site.trained(pairs_in([default], rules)).projection(STRENGTH)
    better = site.ranked_by(learnt, "second round")
    yield "second round", better.clicks(DEFAULT, records // 2, rules, seed=SEED + 1)


def table(photos: Path, records: int) -> str:
    """The table as Markdown: right / kept."""
    rules = LabelRules()
    columns = [
        (name, clicks, guards(clicks, rules))
        for name, clicks in logs(photo_site(photos), records, rules)
    ]
    names = [each.name for each in columns[0][2]]
    lines = [
        "| negatives right / kept | " + " | ".join(name for name, _, _ in columns) + " |",
        "|---|" + "---:|" * len(columns),
        "| *clicks* | " + " | ".join(f"{clicks.count:,}" for _, clicks, _ in columns) + " |",
    ]
    for at, name in enumerate(names):
        cells = (f"{found[at].right:.3f} / {found[at].kept:.2f}" for _, _, found in columns)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print_table(__doc__, "label negatives", table, photos=PHOTOS, records=RECORDS)
