"""What clicks teach of things that nobody clicked: a third of the labels is kept off the site.

As `training.py`, six times, each time with another third. The photos of those labels are neither
shown nor searched by, and have no part in training; their query photos are then searched among all
gallery photos, as the others are. Then a whole set of photos is kept off, each in turn. With
`OTHER_PHOTOS=FOLDER`, photos of other things in a folder like `../shared/photos` are searched among
themselves by what the thirds taught.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from benchmarks.harness import Figure, Size, ratio
from benchmarks.photo_clicks import DEFAULT, NOISY
from benchmarks.photo_features import labelled_photos
from benchmarks.photo_models import PhotoSite, pairs_by_label, pairs_in, photo_site, photos_for
from benchmarks.photo_slices import PARTS, beyond, sets_of
from benchmarks.processes import pool
from benchmarks.training import (
    CAREFUL,
    GREEDY,
    MANY,
    NORMAL,
    RECORDS,
    RULES,
    SEED,
    Outcome,
    learnt,
)
from sightline.engine.settings import load_settings
from sightline.training.models.default_projection import held_out_third

THIRDS = 6
FEW = 1_000
COUNTS = {MANY: (0.08, 0.02), 10_000: (0.08, 0.015), FEW: (0.02, 0.005)}
"""So many clicks, and the goals for the mean gain on clicked labels and on the others."""
BEYOND = (0.15, 0.02)
"""The same of many clicks at the normal strength."""
LEAST = -0.01
HARMLESS = -0.005


@dataclass(frozen=True)
class Draw:
    """What clicks teach where some labels are not on the site."""

    silent: tuple[str, ...]
    """These labels."""
    clicks: dict[int, Outcome]
    """By the number of clicks."""
    labels: Outcome
    """What true labels of the site's photos teach in place of clicks."""
    others: Outcome | None
    """Of photos of other things, after the most clicks."""


def measure(size: Size) -> list[Figure]:
    """All thirds and sets, a process each; then few clicks of careless people and many bots."""
    folder = photos_for(size)
    if folder is None:
        return []
    site, records, thirds = photo_site(folder, size), size.of(RECORDS, 2_000), size.of(THIRDS, 1)
    labels = np.unique(site.photos.labels)
    sets = [labels[sets_of(labels) == each].tolist() for each in np.unique(sets_of(labels))]
    tasks = [
        *((site, held_out_third(labels.tolist(), seed), records, COUNTS) for seed in range(thirds)),
        *((site, silent, records, (MANY,)) for silent in sets if len(silent) < len(labels)),
    ]
    with pool(len(os.sched_getaffinity(0))) as processes:
        drawn = processes.starmap(one_draw, tasks, 1)
    made, whole = drawn[:thirds], drawn[thirds:]
    worst = min(each.clicks[MANY].gained(CAREFUL, clicked=False).point for each in made)
    return [
        *(
            _mean(made, count, CAREFUL, goals, clicked=clicked)
            for count, goals in COUNTS.items()
            for clicked in PARTS
        ),
        *(_mean(made, MANY, NORMAL, BEYOND, clicked=clicked) for clicked in PARTS),
        ratio(
            f"{_name(MANY, CAREFUL, clicked=False)}, worst of {thirds} thirds",
            worst,
            at_least=LEAST,
            detail="the mean is above",
        ),
        *(_of_labels(made, strength) for strength in (NORMAL, GREEDY)),
        *(figure for strength in (CAREFUL, NORMAL) for figure in _beyond(made, whole, strength)),
        *_noise(site, records // 16),
    ]


def one_draw(site: PhotoSite, silent: Sequence[str], records: int, counts: Collection[int]) -> Draw:
    """What the first so many clicks teach, where some labels are not on the site."""
    torch.set_num_threads(1)
    site = site.without(silent)
    log = site.clicks(DEFAULT, records, RULES, seed=SEED)
    heads = {count: site.trained(pairs_in([log.first(count)], RULES)) for count in counts}
    away = elsewhere(site)
    return Draw(
        silent=site.silent,
        clicks={count: Outcome.of(site, head) for count, head in heads.items()},
        labels=Outcome.of(site, site.trained(pairs_by_label(site))),
        others=Outcome.of(away, heads[MANY]) if away else None,
    )


def elsewhere(site: PhotoSite) -> PhotoSite | None:
    """The same model on the photos that the environment names, nobody having clicked any."""
    folder = os.environ.get("OTHER_PHOTOS")
    if not folder:
        return None
    photos = labelled_photos(Path(folder), load_settings().embedder)
    return replace(site, photos=photos).without(photos.labels.tolist())


def _name(count: int, strength: float, *, clicked: bool) -> str:
    return f"{count:,} clicks, strength {strength:g}: gain in mAP, {PARTS[clicked]}"


def _mean(
    made: Sequence[Draw],
    count: int,
    strength: float,
    goals: tuple[float, float],
    *,
    clicked: bool,
) -> Figure:
    gains = [each.clicks[count].gained(strength, clicked=clicked).point for each in made]
    told = ", ".join(f"{gain:+.4f}" for gain in gains)
    return ratio(
        f"{_name(count, strength, clicked=clicked)}, mean of {len(made)} thirds",
        mean(gains),
        at_least=goals[0 if clicked else 1],
        detail=f"{told}; the first: {made[0].clicks[count].told(clicked=clicked)}",
    )


def _of_labels(made: Sequence[Draw], strength: float) -> Figure:
    """On clicked labels alone, as the goal was set."""
    gains = [
        tuple(each.gained(strength).point for each in (draw.clicks[MANY], draw.labels))
        for draw in made
    ]
    return ratio(
        f"{_name(MANY, strength, clicked=True)} ÷ that of true labels of the same photos, "
        f"mean of {len(made)} thirds",
        mean(clicks / labels for clicks, labels in gains),
        at_least=0.95,
        detail=", ".join(f"{clicks:+.4f} ÷ {labels:+.4f}" for clicks, labels in gains),
    )


def _beyond(made: Sequence[Draw], whole: Sequence[Draw], strength: float) -> Iterator[Figure]:
    others = {
        f"{sets_of(each.silent[:1])[0]} where no photo of it was clicked": [each.clicks[MANY]]
        for each in whole
    }
    kind = f"photos of other things, mean of {len(made)} thirds"
    away = [each.others for each in made if each.others]
    if away:
        others[kind] = away
    thirds = [each.clicks[MANY] for each in made]
    return beyond(thirds, others, strength, {kind: BEYOND[1]})


def _noise(site: PhotoSite, records: int) -> list[Figure]:
    site = site.without(held_out_third(site.photos.labels.tolist(), 0))
    outcome = learnt(site, site.clicks(NOISY, records, RULES, seed=SEED).first(FEW))
    return [
        ratio(
            f"noisy log, {_name(FEW, CAREFUL, clicked=clicked)}",
            outcome.gained(CAREFUL, clicked=clicked).point,
            at_least=HARMLESS,
            detail=outcome.told(clicked=clicked),
        )
        for clicked in PARTS
    ]
