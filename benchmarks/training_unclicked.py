"""What clicks teach of things that nobody clicked: a third of the labels is kept off the site.

As `training.py`, six times, each time with another third. The photos of those labels are neither
shown nor searched by, and have no part in training; their query photos are then searched among all
gallery photos, as the others are.
"""

from __future__ import annotations

import os
from statistics import mean

import torch

from benchmarks.harness import Figure, Size, ratio
from benchmarks.photo_clicks import DEFAULT, NOISY
from benchmarks.photo_models import PhotoSite, photo_site, photos_for
from benchmarks.processes import fresh
from benchmarks.training import CAREFUL, MANY, NORMAL, RECORDS, RULES, SEED, Outcome, learnt
from sightline.training.models.default_projection import held_out_third

THIRDS = 6
FEW = 1_000
COUNTS = {MANY: (0.08, 0.02), 10_000: (0.08, 0.015), FEW: (0.02, 0.005)}
"""So many clicks, and the goals for the mean gain on clicked labels and on the others."""
BEYOND = (0.15, 0.02)
"""The same of many clicks at the normal strength."""
PARTS = {True: "clicked labels", False: "labels without a click"}
LEAST = -0.01
HARMLESS = -0.005


def measure(size: Size) -> list[Figure]:
    """All thirds, a process each; then few clicks of careless people and many bots."""
    folder = photos_for(size)
    if folder is None:
        return []
    site, thirds = photo_site(folder, size), size.of(THIRDS, 1)
    records = size.of(RECORDS, 2_000)
    with fresh().Pool(len(os.sched_getaffinity(0))) as pool:
        made = pool.starmap(one_third, [(site, seed, records) for seed in range(thirds)], 1)
    worst = min(each[MANY].gained(CAREFUL, clicked=False).point for each in made)
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
        *_noise(site, records // 16),
    ]


def one_third(site: PhotoSite, seed: int, records: int) -> dict[int, Outcome]:
    """What the first so many clicks teach, where a third of the labels is not on the site."""
    torch.set_num_threads(1)
    site = site.without(held_out_third(site.photos.labels.tolist(), seed))
    log = site.clicks(DEFAULT, records, RULES, seed=SEED)
    return {count: learnt(site, log.first(count)) for count in COUNTS}


def _name(count: int, strength: float, *, clicked: bool) -> str:
    return f"{count:,} clicks, strength {strength}: gain in mAP, {PARTS[clicked]}"


def _mean(
    made: list[dict[int, Outcome]],
    count: int,
    strength: float,
    goals: tuple[float, float],
    *,
    clicked: bool,
) -> Figure:
    gains = [each[count].gained(strength, clicked=clicked).point for each in made]
    told = ", ".join(f"{gain:+.4f}" for gain in gains)
    return ratio(
        f"{_name(count, strength, clicked=clicked)}, mean of {len(made)} thirds",
        mean(gains),
        at_least=goals[0 if clicked else 1],
        detail=f"{told}; the first: {made[0][count].told(clicked=clicked)}",
    )


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
