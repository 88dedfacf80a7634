"""What the gate says by labels of heads that were trained: good ones, and some that are known bad.

    python -m benchmarks.gate_candidates [--photos FOLDER] [--write docs/adr/0022-release-gate.md]

Clicks of simulated people on pages of the train photos of two labels of three; query photos of all
labels are then searched among all gallery photos. The silent third is 20 labels, too little for
rule 2, so its minimum is lowered to them. With `OTHER_PHOTOS=FOLDER` all labels are clicked, and
photos of other things, searched among themselves, are what nobody clicked: enough of them, and the
gate is as it is. Minutes of one core.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.head_ablations import FEW, SOME, clicked
from benchmarks.label_replay import print_table
from benchmarks.photo_clicks import DEFAULT, NOISY
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_by_label, pairs_in, photo_site
from benchmarks.photo_slices import by_set
from benchmarks.training import CAREFUL, GREEDY, NORMAL, RULES, SEED, Outcome
from benchmarks.training_unclicked import elsewhere
from sightline.engine.errors import SettingsInvalid
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.evaluation.gate import Evidence, GateLimits, RuleOutcome, decide
from sightline.training.evaluation.paired import Difference, paired_difference
from sightline.training.evaluation.served import compare_served
from sightline.training.evaluation.strength import GAIN, Groups, evidence
from sightline.training.loop.head import Head
from sightline.training.loop.settings import STEPS
from sightline.training.loop.training import train_head
from sightline.training.models.default_projection import held_out_third

Train = Callable[[], Head]
MARK, ELSEWHERE = "real candidates", "known bad candidates"
OTHERS = "OTHER_PHOTOS"
LIMITS = replace(GateLimits(), min_clusters=20)
STRENGTHS = (0.2, CAREFUL, NORMAL, GREEDY)
LONGER = 3
SERVED = 200


def shuffled(pairs: ClickPairs) -> ClickPairs:
    """The same anchors, each with another pair's positive."""
    order = np.random.default_rng(SEED).permutation(len(pairs))
    return replace(pairs, positive=pairs.positive[order])


def candidates(site: PhotoSite, clicks: int) -> Iterator[tuple[str, Train]]:
    """Heads by what taught them."""
    longer = replace(site.head, steps=LONGER * (site.head.steps or STEPS))
    few, some = (
        pairs_in([clicked(site, people, count)], RULES)
        for people, count in ((NOISY.name, min(FEW, clicks)), (DEFAULT.name, clicks))
    )
    yield f"{min(FEW, clicks):,} careless clicks", partial(site.trained, few)
    yield f"{clicks:,} clicks", partial(site.trained, some)
    yield f"{clicks:,} clicks, {LONGER} times longer", partial(site.trained, some, longer)
    yield f"{clicks:,} clicks, positives shuffled", partial(site.trained, shuffled(some))
    yield f"true labels, {LONGER} times longer", partial(site.trained, pairs_by_label(site), longer)


def known_bad(site: PhotoSite, clicks: int) -> Iterator[tuple[str, Train]]:
    """A good head, then one for each known way to spoil a training, by what taught them."""
    longer = replace(site.head, steps=LONGER * (site.head.steps or STEPS))
    few, some = (
        pairs_in([clicked(site, people, count)], RULES)
        for people, count in ((NOISY.name, min(FEW, clicks)), (DEFAULT.name, clicks))
    )
    pictures = site.features()
    order = np.random.default_rng(SEED).permutation(len(pictures.images))
    mixed = replace(pictures, features=pictures.features[order])
    hidden = replace(longer, depth=1)
    diverging = replace(site.head, learning_rate=float(np.finfo(np.float32).max))
    yield f"{clicks:,} clicks: a good one", partial(site.trained, some)
    yield f"noise: {min(FEW, clicks):,} careless clicks", partial(site.trained, few)
    yield f"too long: {LONGER} times the steps", partial(site.trained, some, longer)
    yield "labels, a hidden layer, as long", partial(site.trained, pairs_by_label(site), hidden)
    yield "pictures mixed up", lambda: train_head(some, mixed, site.start, site.head).head
    yield "positives shuffled", partial(site.trained, shuffled(some))
    yield "diverged: no numbers", partial(site.trained, some, diverging)


def judged_elsewhere(site: PhotoSite, away: PhotoSite, head: Head) -> Iterator[tuple[str, ...]]:
    """At each strength: the strength, the gain where clicked and on other things, what fails."""
    here, there = (Outcome.of(each, head, STRENGTHS) for each in (site, away))
    for strength, after in here.after.items():
        labels = here.labels, there.labels
        gained = here.gained(strength), there.gained(strength, clicked=False)
        vectors = head.projection(strength)(site.photos.features[:SERVED])
        found = Evidence(
            clicked=gained[0],
            clicked_gain=paired_difference(here.before, after, labels[0], measure=GAIN),
            unclicked=gained[1],
            slices=by_set([here], strength) | by_set([there], strength),
            served=compare_served(vectors, vectors),
        )
        made = decide(found, GateLimits())
        failed = "; ".join(each.rule for each in made.lines if each.outcome is RuleOutcome.FAILED)
        verdict = made.verdict.value.replace("_", " ")
        yield f"{strength:g}", *map(_points, gained), verdict + (f": {failed}" if failed else "")


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


def rows(
    heads: Iterable[tuple[str, Train]], judged: Callable[[Head], Iterable[tuple[str, ...]]]
) -> Iterator[str]:
    """A line for each head and strength; one for what came to no head."""
    yield "| trained on | strength | mAP where clicked | where not clicked | verdict |"
    yield "|---|---|---|---|---|"
    for name, train in heads:
        try:
            cells = list(judged(train()))
        except SettingsInvalid as error:
            cells = [("", "", "", f"refused before the gate: {error}")]
        for row, cell in enumerate(cells):
            yield f"| {' | '.join(('' if row else name, *cell))} |"


def table(photos: Path, clicks: int) -> str:
    """Of heads that two labels of three taught, judged by the others."""
    site = photo_site(photos)
    site = site.without(held_out_third(site.photos.labels.tolist(), 0))
    return "\n".join(rows(candidates(site, clicks), partial(told, site)))


def table_elsewhere(photos: Path, clicks: int) -> str:
    """Of known bad heads that all labels taught, judged by photos of other things."""
    site = photo_site(photos)
    away = elsewhere(site)
    if away is None:
        raise SystemExit("name a folder of other photos by OTHER_PHOTOS")
    return "\n".join(rows(known_bad(site, clicks), partial(judged_elsewhere, site, away)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    mark, made = (ELSEWHERE, table_elsewhere) if os.environ.get(OTHERS) else (MARK, table)
    print_table(__doc__, mark, made, photos=PHOTOS, records=SOME)
