"""What clicks on photos teach the shipped model: goals of retrieval, before and after.

Photos, pages ranked by the model, simulated people, join, miner, data set, training, evaluation:
all but the clicks is the product's. Query photos are searched among gallery photos; nobody clicked
either. A third of the labels may be kept off the site, so that they are without a click. Strengths
are named, not chosen; the recipe is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure, Size, ratio
from benchmarks.photo_clicks import DEFAULT, NOISY, Clicks
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_by_label, pairs_in, photo_site
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.evaluation.paired import Difference, compare
from sightline.training.evaluation.retrieval import QueryScores
from sightline.training.loop.head import Head
from sightline.training.models.default_projection import held_out_third

RECORDS = 94_000
"""Some 100,000 clicks."""
SEED = 1
THIRDS = 6
"""How many thirds of the labels are kept silent, one after the other."""
CAREFUL, NORMAL, GREEDY = 0.35, 0.6, 1.0
FEW, SOME, MANY = 1_000, 10_000, 100_000
PARTS = ((MANY, 0.08, 0.02), (SOME, 0.08, 0.015), (FEW, 0.02, 0.005))
"""So many clicks, and the goals for the mean gain on clicked and on unclicked labels."""
PART_NAMES = {True: "clicked labels", False: "labels without a click"}


@dataclass(frozen=True)
class Outcome:
    """What a data set made of the shipped model: scores of the same queries by strength."""

    labels: NDArray[np.str_]
    """Of the queries."""
    clicked: NDArray[np.bool_]
    """Which queries are of labels that were on the site."""
    before: QueryScores
    after: dict[float, QueryScores]

    @classmethod
    def of(cls, site: PhotoSite, head: Head) -> Outcome:
        """Searches with the shipped model, and with a head at each strength."""
        labels = site.query_labels()
        return cls(
            labels=labels,
            clicked=~np.isin(labels, site.silent),
            before=site.quality(site.start),
            after={s: site.quality(head.projection(s)) for s in (CAREFUL, NORMAL, GREEDY)},
        )

    def gained(self, strength: float, *, clicked: bool = True) -> Difference:
        """The difference in mAP, with its bounds by drawing labels."""
        which = self.clicked == clicked
        scores = self.before.at(which), self.after[strength].at(which)
        return compare(*scores, self.labels[which])

    def told(self, *, clicked: bool = True) -> str:
        """Everything about one part of the queries, for the column of details."""
        which = self.clicked == clicked
        before = self.before.at(which).means()
        parts = [f"mAP {before['mAP']:.4f}, R@1 {before['precision@1']:.3f}"]
        for strength, scores in self.after.items():
            found, by = scores.at(which).means(), self.gained(strength, clicked=clicked)
            parts.append(
                f"at {strength:g} {by.point:+.4f} [{by.lower:+.3f}, {by.upper:+.3f}], "
                f"R@1 {found['precision@1']:.3f}"
            )
        return "; ".join(parts)


@dataclass(frozen=True)
class Bench:
    """One site, its rules, and how many records a whole log has."""

    site: PhotoSite
    rules: LabelRules
    records: int

    def learnt(self, site: PhotoSite, *logs: Clicks) -> Outcome:
        """What the clicks of some logs teach."""
        return Outcome.of(site, site.trained(pairs_in(logs, self.rules)))

    def every_label(self) -> Iterator[Figure]:
        """Clicks on all labels, what true labels would teach, and a second round."""
        clicks = self.site.clicks(DEFAULT, self.records, self.rules, seed=SEED)
        outcome = self.learnt(self.site, clicks)
        name = f"{clicks.count:,} clicks on all labels, strength {NORMAL}"
        gain = outcome.gained(NORMAL).point
        yield ratio(f"{name}: gain in mAP", gain, at_least=0.13, detail=outcome.told())
        hits = outcome.after[NORMAL].means()["precision@1"]
        yield ratio(f"{name}: R@1", hits, at_least=0.70, detail="as above")
        truth = Outcome.of(self.site, self.site.trained(pairs_by_label(self.site)))
        share = gain / truth.gained(NORMAL).point
        labels = f"{name}: gain in mAP ÷ that of true labels"
        yield ratio(labels, share, at_least=0.95, detail=f"labels: {truth.told()}")
        yield self._second_round(clicks)

    def _second_round(self, clicks: Clicks) -> Figure:
        """Half of the clicks on pages of what the first half taught, against all in one round."""
        first = clicks.first(clicks.count // 2)
        head = self.site.trained(pairs_in([first], self.rules))
        ranked = self.site.ranked_by(head.projection(NORMAL), "second round")
        second = ranked.clicks(DEFAULT, self.records // 2, self.rules, seed=SEED + 1)
        one = self.learnt(self.site, clicks.first(first.count + second.count))
        two = self.learnt(self.site, first, second)
        by = compare(one.after[NORMAL], two.after[NORMAL], one.labels)
        return ratio(
            f"half of the clicks on the pages of what the other half taught, strength {NORMAL}: "
            "mAP over that of as many clicks in one round",
            by.point,
            at_least=0.005,
            detail=f"[{by.lower:+.4f}, {by.upper:+.4f}]; {first.count:,} clicks in "
            f"{first.searches:,} searches, then {second.count:,} in {second.searches:,}; "
            + two.told(),
        )

    def thirds(self) -> Iterator[Figure]:
        """Clicks on two thirds of the labels: how each part of the queries fares."""
        labels = self.site.photos.labels.tolist()
        sites = [self.site.without(held_out_third(labels, seed)) for seed in range(THIRDS)]
        logs = [site.clicks(DEFAULT, self.records, self.rules, seed=SEED) for site in sites]
        for clicks, on_clicked, on_others in PARTS:
            made = [
                self.learnt(site, log.first(clicks)) for site, log in zip(sites, logs, strict=True)
            ]
            yield _mean(clicks, made, clicked=True, at_least=on_clicked)
            yield _mean(clicks, made, clicked=False, at_least=on_others)
            if clicks == MANY:
                worst = min(outcome.gained(CAREFUL, clicked=False).point for outcome in made)
                name = f"the same with {clicks:,} clicks, worst of {len(made)} thirds"
                yield ratio(name, worst, at_least=-0.01, detail="as above")

    def noise(self) -> Iterator[Figure]:
        """Few clicks of careless people, with many bots among them."""
        labels = self.site.photos.labels.tolist()
        site = self.site.without(held_out_third(labels, 0))
        log = site.clicks(NOISY, self.records, self.rules, seed=SEED)
        made = self.learnt(site, log.first(FEW))
        for clicked, part in PART_NAMES.items():
            yield ratio(
                f"{FEW:,} noisy clicks, strength {CAREFUL}: gain in mAP, {part}",
                made.gained(CAREFUL, clicked=clicked).point,
                at_least=-0.005,
                detail=made.told(clicked=clicked),
            )


def _mean(clicks: int, made: list[Outcome], *, clicked: bool, at_least: float) -> Figure:
    """The mean of several draws of the silent third."""
    gains = [outcome.gained(CAREFUL, clicked=clicked).point for outcome in made]
    each = ", ".join(f"{gain:+.4f}" for gain in gains)
    return ratio(
        f"{clicks:,} clicks, strength {CAREFUL}: gain in mAP, {PART_NAMES[clicked]}, "
        f"mean of {len(made)} thirds",
        mean(gains),
        at_least=at_least,
        detail=f"{each}; the first: {made[0].told(clicked=clicked)}",
    )


def measure(size: Size) -> list[Figure]:
    """All goals; none where the labelled photos are not there."""
    if not PHOTOS.exists():
        return []
    bench = Bench(photo_site(PHOTOS), LabelRules(), size.of(RECORDS, 2_000))
    figures = []
    for part in (bench.every_label(), bench.noise(), bench.thirds()):
        for figure in part:
            print(f"{figure.name}: {figure.value:.4f}", flush=True)
            figures.append(figure)
    return figures
