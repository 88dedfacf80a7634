"""What clicks on photos teach the shipped model: goals of retrieval, before and after.

Photos, pages ranked by the model, simulated people, join, miner, data set, training, evaluation:
all but the clicks is the product's. Query photos are searched among gallery photos; nobody clicked
either. Strengths are named, not chosen. Labels without a click: `training_unclicked.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure, Size, ratio
from benchmarks.photo_clicks import DEFAULT, Clicks
from benchmarks.photo_models import PhotoSite, pairs_by_label, pairs_in, photo_site, photos_for
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.evaluation.paired import Difference, compare
from sightline.training.evaluation.retrieval import QueryScores
from sightline.training.loop.head import Head

RECORDS = 96_000
"""A little more than 100,000 clicks."""
MANY = 100_000
SEED = 1
RULES = LabelRules()
CAREFUL, NORMAL, GREEDY = 0.35, 0.6, 1.0


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


def learnt(site: PhotoSite, *logs: Clicks) -> Outcome:
    """What the clicks of some logs teach."""
    return Outcome.of(site, site.trained(pairs_in(logs, RULES)))


def measure(size: Size) -> list[Figure]:
    """Clicks on all labels: what they teach, and what they would teach elsewhere."""
    folder = photos_for(size)
    if folder is None:
        return []
    records, site = size.of(RECORDS, 2_000), photo_site(folder, size)
    clicks = site.clicks(DEFAULT, records, RULES, seed=SEED).first(MANY)
    return [*_goals(site, clicks), _second_round(site, clicks, records)]


def _goals(site: PhotoSite, clicks: Clicks) -> list[Figure]:
    outcome = learnt(site, clicks)
    truth = Outcome.of(site, site.trained(pairs_by_label(site)))
    gain, told = outcome.gained(NORMAL).point, outcome.told()
    hits = outcome.after[NORMAL].means()["precision@1"]
    share = gain / truth.gained(NORMAL).point
    name = f"{MANY:,} clicks on all labels, strength {NORMAL}"
    return [
        ratio(f"{name}: gain in mAP", gain, at_least=0.13, detail=told),
        ratio(f"{name}: R@1", hits, at_least=0.70, detail="as above"),
        ratio(
            f"{name}: gain in mAP ÷ that of true labels",
            share,
            at_least=0.95,
            detail=f"labels: {truth.told()}",
        ),
    ]


def _second_round(site: PhotoSite, clicks: Clicks, records: int) -> Figure:
    """Half of the clicks on pages of what the first half taught, against all in one round."""
    first = clicks.first(clicks.count // 2)
    head = site.trained(pairs_in([first], RULES))
    ranked = site.ranked_by(head.projection(NORMAL), "second round")
    second = ranked.clicks(DEFAULT, records // 2, RULES, seed=SEED + 1)
    second = second.first(clicks.count - first.count)
    one = learnt(site, clicks.first(first.count + second.count))
    two = learnt(site, first, second)
    by = compare(one.after[NORMAL], two.after[NORMAL], one.labels)
    return ratio(
        f"strength {NORMAL}: mAP after two rounds less that after one, equal clicks",
        by.point,
        at_least=0.005,
        detail=f"[{by.lower:+.4f}, {by.upper:+.4f}]; {first.count:,} clicks in "
        f"{first.searches:,} searches, then {second.count:,} in {second.searches:,} on pages of "
        f"what those taught; two rounds: {two.told()}",
    )
