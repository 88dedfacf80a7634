"""What the gate says by labels of heads that were trained: good ones, and some that are known bad.

    python -m benchmarks.gate_candidates [--photos FOLDER] [--write docs/adr/0022-release-gate.md]

Clicks of simulated people on pages of the train photos of two labels of three; query photos of all
labels are then searched among all gallery photos. The silent third is 20 labels, too little for
rule 2, so its minimum is lowered to them. Minutes of one core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.head_ablations import FEW, SOME, clicked
from benchmarks.label_replay import print_table
from benchmarks.photo_clicks import DEFAULT, NOISY
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_by_label, pairs_in, photo_site
from benchmarks.training import CAREFUL, GREEDY, NORMAL, RULES, SEED, Outcome
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.evaluation.gate import GateLimits, decide
from sightline.training.evaluation.paired import Difference
from sightline.training.evaluation.served import compare_served
from sightline.training.evaluation.strength import Groups, evidence
from sightline.training.loop.head import Head
from sightline.training.loop.settings import STEPS
from sightline.training.models.default_projection import held_out_third

MARK = "real candidates"
LIMITS = replace(GateLimits(), min_clusters=20)
STRENGTHS = (0.2, CAREFUL, NORMAL, GREEDY)
LONGER = 3
SERVED = 200


def shuffled(pairs: ClickPairs) -> ClickPairs:
    """The same anchors, each with another pair's positive."""
    order = np.random.default_rng(SEED).permutation(len(pairs))
    return replace(pairs, positive=pairs.positive[order])


def candidates(site: PhotoSite, clicks: int) -> Iterator[tuple[str, Head]]:
    """Heads by what taught them."""
    longer = replace(site.head, steps=LONGER * (site.head.steps or STEPS))
    few, some = (
        pairs_in([clicked(site, people, count)], RULES)
        for people, count in ((NOISY.name, min(FEW, clicks)), (DEFAULT.name, clicks))
    )
    yield f"{min(FEW, clicks):,} careless clicks", site.trained(few)
    yield f"{clicks:,} clicks", site.trained(some)
    yield f"{clicks:,} clicks, {LONGER} times longer", site.trained(some, longer)
    yield f"{clicks:,} clicks, positives shuffled", site.trained(shuffled(some))
    yield f"true labels, {LONGER} times longer", site.trained(pairs_by_label(site), longer)


def told(site: PhotoSite, head: Head) -> Iterator[tuple[str, ...]]:
    """At each strength: the strength, both gains, and the verdict."""
    outcome = Outcome.of(site, head, STRENGTHS)
    domains = np.array([label.partition("/")[0] for label in outcome.labels.tolist()])
    slices = {name: domains == name for name in np.unique(domains).tolist()}
    groups = Groups(clusters=outcome.labels, clicked=outcome.clicked, slices=slices)
    for strength, after in outcome.after.items():
        vectors = head.projection(strength)(site.photos.features[:SERVED])
        found = evidence(outcome.before, after, groups, compare_served(vectors, vectors))
        verdict = decide(found, LIMITS).verdict.value.replace("_", " ")
        yield f"{strength:g}", _points(found.clicked), _points(found.unclicked), verdict


def _points(found: Difference) -> str:
    point, lower, upper = (100 * each for each in (found.point, found.lower, found.upper))
    return f"{point:+.1f} [{lower:+.1f}, {upper:+.1f}]"


def table(photos: Path, clicks: int) -> str:
    """A line for each head and strength."""
    site = photo_site(photos)
    site = site.without(held_out_third(site.photos.labels.tolist(), 0))
    lines = ["| trained on | strength | mAP where clicked | where not clicked | verdict |"]
    lines.append("|---|---|---|---|---|")
    for name, head in candidates(site, clicks):
        for row, cells in enumerate(told(site, head)):
            lines.append(f"| {' | '.join(('' if row else name, *cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print_table(__doc__, MARK, table, photos=PHOTOS, records=SOME)
