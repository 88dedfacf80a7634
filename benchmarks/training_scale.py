"""Time and memory of a training on 1,000,000 triples over 100,000 images, and of its gate.

    python -m benchmarks.training_scale [--triples N] [--images N] [--write docs/training.md]

Triples, features and hashes are drawn, so that no picture is looked at; everything else is what
`sightline train` does. Each line tells what a step took, and the most memory so far.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from benchmarks.harness import peak_memory_mib
from benchmarks.label_replay import put_between_marks
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION
from sightline.engine.embedding.projections import load_linear
from sightline.engine.settings import EvaluationSettings
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.pairs import pairs_of
from sightline.training.datasets.splits import held_out_clusters, split_by_time
from sightline.training.evaluation.click_truth import clicks_as_truth, score_by_clicks
from sightline.training.evaluation.gate import GateLimits
from sightline.training.evaluation.query_sample import at_most
from sightline.training.evaluation.strength import STRENGTHS, choose
from sightline.training.loop.head import Head
from sightline.training.loop.learning import LearningSettings, hold_back
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.training import train_head

TRIPLES, IMAGES, KINDS = 1_000_000, 100_000, 2_000
OF_A_SEARCH = 10
"""Triples of one search: three pairs and a bit, as on simulated pages."""
SEED = 1
HEADER = ("| step | took | CPU | most memory so far |", "|---|---:|---:|---:|")
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


@dataclass
class Steps:
    """What was done, with its time and the memory at its end."""

    lines: list[str] = field(default_factory=list)
    _since: tuple[float, float] = field(default_factory=_clocks)

    def done(self, name: str) -> None:
        """Note a step that has just ended."""
        now = _clocks()
        took, cpu = (after - before for after, before in zip(now, self._since, strict=True))
        memory = peak_memory_mib() / 1024
        self.lines.append(f"| {name} | {took:.1f} s | {cpu:.1f} s | {memory:.1f} GiB |")
        print(self.lines[-1], flush=True)
        self._since = _clocks()


def drawn_triples(count: int, images: int) -> pa.Table:
    """Searches by images of some kinds, whose positives are of the same kind and negatives not."""
    random = np.random.default_rng(SEED)
    searches = count // OF_A_SEARCH
    anchor = random.integers(0, images, searches)
    kind = np.arange(images) % KINDS
    each = images // KINDS
    search = np.repeat(np.arange(searches), OF_A_SEARCH)[:count]
    # Three positives and some negatives of each, as rows that name both.
    positive = kind[anchor[search]] + KINDS * ((search + np.arange(count) % 3) % each)
    negative = random.integers(0, images, count)
    names = pa.array([f"image-{at:06}" for at in range(images)])
    issued = [_BEGAN + timedelta(seconds=int(at)) for at in range(searches)]
    return pa.table(
        {
            "anchor_id": names.take(pa.array(anchor[search])),
            "positive_id": names.take(pa.array(positive)),
            "negative_id": names.take(pa.array(negative)),
            "search_id": pa.array([f"s-{at:06}" for at in range(searches)]).take(pa.array(search)),
            "issued_at": pa.array(issued, pa.timestamp("us", tz="UTC")).take(pa.array(search)),
            "grade": pa.array(np.full(count, 3, np.int8)),
            "positive_position": pa.array((1 + np.arange(count) % 24).astype(np.int16)),
            "sampling_weight": pa.array(np.ones(count)),
        }
    )


def drawn_features(images: int, width: int) -> PictureFeatures:
    """Pictures of some kinds, none of which looks like another."""
    random = np.random.default_rng(SEED)
    centres = random.random((KINDS, width), np.float32)
    features = random.random((images, width), np.float32)
    features += centres[np.arange(images) % KINDS]
    return PictureFeatures(
        images=tuple(f"image-{at:06}" for at in range(images)),
        features=features,
        hashes=tuple(random.bytes(32).hex() for _ in range(images)),
    )


def measured(triples: int, images: int) -> Iterator[str]:
    """The lines of the table."""
    start = load_linear(PACKAGED_PROJECTION)
    steps = Steps()
    table, features = drawn_triples(triples, images), drawn_features(images, len(start.mean))
    steps.done(f"*draw {triples:,} triples, {images:,} pictures of {len(start.mean):,} features*")
    pairs = pairs_of(table)
    steps.done(f"data set: {len(pairs):,} pairs")
    kept = hold_back(pairs, features, start, LearningSettings())
    steps.done(f"kinds, look-alikes, what is kept out: {int(kept.trained_on.sum()):,} pairs teach")
    taught, seen = kept.pairs.chosen(kept.trained_on), features.chosen(kept.held_out.teaches)
    trained = train_head(taught, seen, start, HeadSettings())
    steps.done(f"a training as it is: {len(trained.curve.losses)} steps of 128 pairs")
    epoch = -(-len(taught) // HeadSettings().batch)
    train_head(taught, seen, start, HeadSettings(steps=epoch))
    steps.done(f"one epoch: {epoch:,} steps of 128 pairs")
    yield from (*HEADER, *steps.lines)


def gate_measured(triples: int, images: int) -> Iterator[str]:
    """The gate's part: what judges, then its queries under one model and under all strengths.

    Kinds are given, nothing is trained: scoring takes as long, whatever the head.
    """
    start = load_linear(PACKAGED_PROJECTION)
    table, features = drawn_triples(triples, images), drawn_features(images, len(start.mean))
    pairs = pairs_of(table).among(features.images)
    kinds = np.arange(images) % KINDS
    held = held_out_clusters(pairs, kinds, share=0.2, aside=0.1)
    time_split = split_by_time(pairs, np.arange(images), later_share=0.1)
    steps = Steps()
    every = clicks_as_truth(pairs, held, time_split.later)
    some = at_most(every, EvaluationSettings().queries, seed=SEED)
    told = f"{len(some.anchors):,} of {len(every.anchors):,} queries"
    steps.done(f"what judges: {told} with their relevant pictures")
    before = score_by_clicks(features, start, some)
    steps.done(f"the serving model: these queries among {images:,} pictures")
    residual = np.random.default_rng(SEED).normal(0, 0.02, (start.matrix.shape[1],) * 2)
    head = Head.of(start.mean, start.matrix, residual.astype(np.float32))
    after = {s: score_by_clicks(features, head.projection(s), some) for s in STRENGTHS}
    steps.done(f"a head at {len(STRENGTHS)} strengths: the same")
    choose(before, after, some.groups, GateLimits())
    steps.done("the choice by their bounds")
    yield from (*HEADER, *steps.lines)


TABLES = {"training at scale": measured, "gate at scale": gate_measured}


def main() -> None:
    """Print the tables, or put them between their marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triples", type=int, default=TRIPLES)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--only", choices=tuple(TABLES), help="one of the tables")
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else TABLES:
        text = "\n".join(TABLES[name](arguments.triples, arguments.images))
        if arguments.write:
            put_between_marks(arguments.write, name, text)


if __name__ == "__main__":
    main()
