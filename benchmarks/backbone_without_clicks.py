"""What a network learns of pictures alone, before anybody clicked: views of them, turned or not.

    python -m benchmarks.backbone_without_clicks [--photos FOLDER] [--write docs/backbone.md]

As `sightline train-backbone --without-clicks` on the train photos; then query photos among gallery
photos, as they are and with every query turned by a quarter. Small squares and few steps, some nine
minutes of CPU; what serves sees larger ones.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.backbone_ablations import SIZE, PixelSite, pixel_site
from benchmarks.label_replay import put_between_marks
from benchmarks.photo_models import PHOTOS, photo_site
from sightline.engine.embedding.projections import Projection
from sightline.training.backbone.settings import BackboneSettings
from sightline.training.backbone.training import own_positives, train_backbone
from sightline.training.evaluation.paired import paired_difference
from sightline.training.evaluation.retrieval import QueryScores

MARK = "training without clicks"
SETTINGS = BackboneSettings(steps=64, batch=64, corpus=0, learning_rate=3e-4)
"""Two views of each photo twice over; a third of the command's steps at three times its rate."""
VIEWS = {"SimCLR's views": False, "the same, turned": True}
"""Whether they are turned."""
HEADER = (
    "| | mAP | R@1 | gain in mAP | queries on their side: mAP | R@1 | CPU |",
    "|---|---:|---:|---:|---:|---:|---:|",
)


@dataclass(frozen=True)
class Learner:
    """A site of small squares, whose photos teach its network from the shipped model on."""

    upright: PixelSite
    lying: PixelSite
    """The same with query photos on their side."""

    @classmethod
    def of(cls, pixels: PixelSite) -> Learner:
        """Turns the query photos by a quarter for the second site."""
        splits = pixels.site.photos.splits
        queries = splits[splits != "train"] == "query"
        squares = pixels.squares.copy()
        squares[queries] = np.rot90(squares[queries], axes=(1, 2))
        return cls(pixels, replace(pixels, squares=squares))

    def begun(self) -> tuple[QueryScores, QueryScores]:
        """Searches by both kinds of queries before anything is learnt."""
        return self._searched(self.upright.network.network.state_dict(), self.upright.site.start)

    def taught(self, settings: BackboneSettings) -> tuple[QueryScores, QueryScores]:
        """Searches by both kinds of queries after a training on views of the photos."""
        pixels, start = self.upright, self.upright.site.start
        pairs = own_positives(pixels.site.features().images)
        size = pixels.squares.shape[1]
        found = train_backbone(pixels.network, start, pairs, pixels.crops, settings, size=size)
        return self._searched(found.network, found.projection)

    def _searched(
        self, weights: Mapping[str, torch.Tensor], projection: Projection
    ) -> tuple[QueryScores, QueryScores]:
        upright, lying = (
            each.seen_by(weights).quality(projection) for each in (self.upright, self.lying)
        )
        return upright, lying


@dataclass(frozen=True)
class Row:
    """One line of the table: a start, or what a training makes of it."""

    name: str
    learner: Learner
    settings: BackboneSettings | None
    """None: nothing is learnt."""

    def told(self) -> str:
        """Measure it, in one thread."""
        torch.set_num_threads(1)
        began = time.process_time()
        before = self.learner.begun()
        if self.settings is None:
            return f"| **{self.name}** | {_told(before[0])} | | {_told(before[1])} | |"
        after = self.learner.taught(self.settings)
        by = paired_difference(before[0], after[0], self.learner.upright.site.query_labels())
        gain = f"{by.point:+.3f} [{by.lower:+.3f}, {by.upper:+.3f}]"
        cpu = f"{time.process_time() - began:.0f} s"
        return f"| {self.name} | {_told(after[0])} | {gain} | {_told(after[1])} | {cpu} |"


def rows(pixels: PixelSite, settings: BackboneSettings) -> Iterator[Row]:
    """The shipped model, then a training on plain views and one on views that are turned."""
    learner = Learner.of(pixels)
    yield Row("the shipped model", learner, None)
    for views, rotation in VIEWS.items():
        yield Row(views, learner, replace(settings, rotation=rotation))


def _told(scores: QueryScores) -> str:
    means = scores.means()
    return " | ".join(f"{means[name]:.3f}".lstrip("0") for name in ("mAP", "precision@1"))


def main() -> None:
    """Print the table, or put it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--size", type=int, default=SIZE, help="side of the squares, pixels")
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    parser.add_argument("--rate", type=float, default=SETTINGS.learning_rate)
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    pixels = pixel_site(arguments.photos, photo_site(arguments.photos), arguments.size)
    settings = replace(SETTINGS, steps=arguments.steps, learning_rate=arguments.rate)
    lines = [*HEADER]
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        for line in pool.imap(Row.told, rows(pixels, settings)):
            lines.append(line)
            print(line, flush=True)
    if arguments.write:
        put_between_marks(arguments.write, MARK, "\n".join(lines))


if __name__ == "__main__":
    main()
