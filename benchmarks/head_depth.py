"""Hidden layers in a head's training: what the linear map is worth that is kept of them.

    python -m benchmarks.head_depth [--photos FOLDER] [--write docs/training.md]

As `head_ablations.py`: clicks of default people on pages of the train photos of two labels of
three; query photos of all labels are then searched among all gallery photos, by the head and by the
deep residual itself. Some four minutes of one core.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import torch

from benchmarks.head_ablations import SOME, clicked
from benchmarks.label_replay import print_lines
from benchmarks.photo_clicks import DEFAULT
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_in, photo_site
from benchmarks.query_matrix import unit
from benchmarks.training import CAREFUL, GREEDY, MANY, NORMAL, RULES, Outcome
from sightline.engine.embedding.projections import Features, Projection, project_all
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.loop.checkpoint import Checkpoint, inputs_digest
from sightline.training.loop.residual import moved
from sightline.training.loop.settings import Activation, HeadSettings
from sightline.training.loop.training import train_head
from sightline.training.models.default_projection import held_out_third

MARK = "hidden layers"
DEPTHS = (1, 2)
STRENGTHS = (CAREFUL, NORMAL, GREEDY)
LINEAR = "depth 0, as it is"


@dataclass(frozen=True)
class Deep:
    """A residual as it was trained."""

    base: Projection
    weights: Features
    activation: Activation

    def vectors(self, strength: float, features: Features) -> Features:
        """Unit vectors, and so much of their residual."""
        known = unit(project_all(self.base, features))
        with torch.no_grad():
            far = moved(torch.from_numpy(known), torch.from_numpy(self.weights), self.activation)
        return known + strength * (far.numpy() - known)


@dataclass(frozen=True)
class Learnt:
    """What a log teaches by some settings."""

    head: Outcome
    deep: Outcome
    cpu_s: float

    @classmethod
    def of(cls, site: PhotoSite, pairs: ClickPairs, settings: HeadSettings) -> Learnt:
        """Train, and search by what is kept and by what was trained."""
        features, began = site.features(), time.process_time()
        with tempfile.TemporaryDirectory(prefix="sightline-depth-") as folder:
            file = Path(folder) / "checkpoint"
            head = train_head(pairs, features, site.start, settings, checkpoint=file).head
            cpu_s = time.process_time() - began
            known = pairs.among(features.images)
            kept = Checkpoint.load(
                file, inputs=inputs_digest(known, features, site.start, settings)
            )
        assert kept is not None
        deep = Deep(head.ungated(0), kept.residual, settings.activation)
        outcome = Outcome.of(site, head, STRENGTHS)
        after = {s: site.found_by(partial(deep.vectors, s)) for s in STRENGTHS}
        return cls(outcome, replace(outcome, after=after), cpu_s)


def ways(base: HeadSettings) -> dict[str, HeadSettings]:
    """Linear, then every depth with every activation."""
    deep = {
        f"depth {depth}, {name}": replace(base, depth=depth, activation=name)
        for depth in DEPTHS
        for name in get_args(Activation)
    }
    return {LINEAR: base, **deep}


def lines(site: PhotoSite, logs: Mapping[str, ClickPairs]) -> Iterator[str]:
    """Of each way the head and what it was made of: clicked / silent labels by strength."""
    told = ", ".join(f"{strength:g}" for strength in STRENGTHS)
    heads = [f"{name}, strength {told} | CPU" for name in logs]
    yield f"| | {' | '.join(heads)} |"
    yield f"|---{'|---|---:' * len(logs)}|"
    for name, settings in ways(site.head).items():
        made = [Learnt.of(site, pairs, settings) for pairs in logs.values()]
        yield line(name, [(each.head, f"{each.cpu_s:.0f} s") for each in made])
        if settings.depth:
            yield line(f"{name}, before it is made linear", [(each.deep, "") for each in made])


def line(name: str, cells: Sequence[tuple[Outcome, str]]) -> str:
    """A row: of each log the gains, and what stands beside them."""
    return f"| {name} | {' | '.join(f'{_gains(found)} | {cpu}' for found, cpu in cells)} |"


def _gains(found: Outcome) -> str:
    points = [zip(found.means(s), found.means(), strict=True) for s in STRENGTHS]
    return ", ".join(
        " / ".join(f"{100 * (new - old):+.1f}" for new, old in each) for each in points
    )


def main() -> None:
    """Print the table, or put it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    whole = photo_site(arguments.photos)
    site = whole.without(held_out_third(whole.photos.labels.tolist(), 0))
    logs = {
        f"{count:,} clicks": pairs_in([clicked(site, DEFAULT.name, count)], RULES)
        for count in (SOME, MANY)
    }
    print_lines(lines(site, logs), MARK, arguments.write)


if __name__ == "__main__":
    main()
