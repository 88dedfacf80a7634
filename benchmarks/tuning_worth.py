"""What `sightline tune` is worth: heads with the settings it finds, beside heads with the defaults.

    python -m benchmarks.tuning_worth [--photos FOLDER] [--trials 20] [--write docs/training.md]

Clicks of simulated people on pages of the train photos of two labels of three, three times, each
time with another third; tuning and training as the commands do them, then query photos of all
labels are searched among all gallery photos. Some ten minutes of one core.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.head_ablations import SOME, clicked
from benchmarks.label_replay import print_lines
from benchmarks.photo_clicks import DEFAULT
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_in, photo_site
from benchmarks.training import CAREFUL, NORMAL, RULES, Outcome
from sightline.engine.settings import load_settings
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.loop.learning import LearningSettings, hold_back, learn
from sightline.training.loop.settings import HeadSettings
from sightline.training.models.default_projection import held_out_third
from sightline.training.tuning.judging import Judging
from sightline.training.tuning.search import TUNED, Tried, search

MARK = "what tuning is worth"
DRAWS = 3
STRENGTHS = (CAREFUL, NORMAL)


def tuned(site: PhotoSite, pairs: ClickPairs, trials: int) -> list[Tried]:
    """Every trial; the first is the defaults."""
    settings, features = LearningSettings(head=site.head), site.features()
    unknown = [None] * len(features.images)
    kept = hold_back(pairs, features, site.start, settings)
    most = load_settings().evaluation.queries
    judging = Judging.of(kept, features, site.start, settings, unknown, most=most)
    with tempfile.TemporaryDirectory(prefix="sightline-tuning-") as folder:
        teaching = int(judging.kept.trained_on.sum())
        where = Path(folder)
        return search(
            judging, site.head, pairs=teaching, trials=trials, folder=where, inputs="clicks"
        )


def gains(site: PhotoSite, pairs: ClickPairs, head: HeadSettings) -> Iterator[str]:
    """Points of mAP at each strength: clicked labels / silent ones."""
    settings = LearningSettings(head=head)
    learnt = learn(pairs, site.features(), site.start, settings)
    outcome = Outcome.of(site, learnt.trained.head, STRENGTHS)
    for strength in STRENGTHS:
        points = (100 * outcome.gained(strength, clicked=part).point for part in (True, False))
        yield " / ".join(f"{each:+.1f}" for each in points)


def lines(site: PhotoSite, trials: int, count: int = SOME, draws: int = DRAWS) -> Iterator[str]:
    """The defaults, and what was found by so many clicks, for each third."""
    yield "| silent third | settings | nDCG@24 by clicks | strength .35 | .6 |"
    yield "|---:|---|---:|---:|---:|"
    for draw in range(draws):
        shop = site.without(held_out_third(site.photos.labels.tolist(), draw))
        pairs = pairs_in([clicked(shop, DEFAULT.name, count)], RULES)
        tried = tuned(shop, pairs, trials)
        best = max(tried, key=lambda each: each.quality)
        found = ", ".join(f"{name} {_told(best.settings, name)}" for name in TUNED)
        for told, trial in {"the defaults": tried[0], f"tuned: {found}": best}.items():
            cells = " | ".join(gains(shop, pairs, trial.settings))
            yield f"| {draw} | {told} | {trial.quality:.4f} | {cells} |"


def _told(settings: HeadSettings, name: str) -> str:
    value = getattr(settings, name)
    return value if isinstance(value, str) else f"{value:.3g}"


def main() -> None:
    """Print the table, or put it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_lines(lines(photo_site(arguments.photos), arguments.trials), MARK, arguments.write)


if __name__ == "__main__":
    main()
