"""What clicks on photos teach the shipped model: goals of retrieval, before and after.

Photos, pages ranked by the model, simulated people, join, miner, data set, training, evaluation:
all but the clicks is the product's. Query photos are searched among gallery photos; nobody clicked
either. Strengths are named, not chosen. Labels without a click: `training_unclicked.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure, Size, ratio
from benchmarks.photo_clicks import DEFAULT, Clicks
from benchmarks.photo_models import (
    PhotoSite,
    pairs_by_label,
    pairs_in,
    pairs_on_pages,
    photo_site,
    photos_for,
)
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.evaluation.paired import Difference, paired_difference
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
    def of(
        cls, site: PhotoSite, head: Head, strengths: Sequence[float] = (CAREFUL, NORMAL, GREEDY)
    ) -> Outcome:
        """Searches with the shipped model, and with a head at each strength."""
        labels = site.query_labels()
        return cls(
            labels=labels,
            clicked=~np.isin(labels, site.silent),
            before=site.quality(site.start),
            after={s: site.quality(head.projection(s)) for s in strengths},
        )

    def gained(self, strength: float, *, clicked: bool = True) -> Difference:
        """The difference in mAP, with its bounds by drawing labels."""
        which = self.clicked == clicked
        scores = self.before.at(which), self.after[strength].at(which)
        return paired_difference(*scores, self.labels[which])

    def means(self, strength: float | None = None) -> tuple[float, float]:
        """Averages mAP over clicked labels and over the others: at a strength, or before."""
        scores = self.before if strength is None else self.after[strength]
        clicked, others = (scores.at(part).means()["mAP"] for part in (self.clicked, ~self.clicked))
        return clicked, others

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
    return [*_goals(site, clicks), *_rounds(site, clicks, records)]


def _goals(site: PhotoSite, clicks: Clicks) -> list[Figure]:
    outcome = learnt(site, clicks)
    gain, told = outcome.gained(NORMAL).point, outcome.told()
    hits = outcome.after[NORMAL].means()["precision@1"]
    name = f"{MANY:,} clicks on all labels, strength {NORMAL}"
    return [
        ratio(f"{name}: gain in mAP", gain, at_least=0.13, detail=told),
        ratio(f"{name}: R@1", hits, at_least=0.70, detail="as above"),
        *_shares("on the same pages", outcome, site, pairs_on_pages(site)),
        *_shares("of all photos, on whatever page", outcome, site, pairs_by_label(site)),
    ]


def _shares(which: str, outcome: Outcome, site: PhotoSite, pairs: ClickPairs) -> Iterator[Figure]:
    """What of the gain that labels teach by the same recipe clicks do, too."""
    truth = Outcome.of(site, site.trained(pairs))
    for strength in (NORMAL, GREEDY):
        yield ratio(
            f"{MANY:,} clicks on all labels, strength {strength:g}: gain in mAP ÷ that of true "
            f"labels {which}",
            outcome.gained(strength).point / truth.gained(strength).point,
            at_least=0.95,
            detail=f"labels: {truth.told()}" if strength == NORMAL else "as above",
        )


def in_rounds(site: PhotoSite, first: Clicks, records: int, rounds: int) -> list[Clicks]:
    """Logs of equal clicks, each after the first on pages of what all before it taught.

    Args:
        site: where the first was clicked.
        first: the clicks on the shipped model's pages.
        records: that surely hold so many clicks.
        rounds: how many logs, with the first.
    """
    logs = [first]
    for number in range(2, rounds + 1):
        served = site.trained(pairs_in(logs, RULES)).projection(NORMAL)
        ranked = site.ranked_by(served, f"round {number}")
        clicks = ranked.clicks(DEFAULT, records, RULES, seed=SEED + number - 1)
        logs.append(clicks.first(first.count))
    return logs


def _rounds(site: PhotoSite, clicks: Clicks, records: int) -> list[Figure]:
    """A second round against one round of as many clicks; a third against the second."""
    logs = in_rounds(site, clicks.first(clicks.count // 2), records // 2, 3)
    one = learnt(site, clicks.first(sum(log.count for log in logs[:2])))
    two, three = (learnt(site, *logs[:rounds]) for rounds in (2, 3))
    told = ", then ".join(f"{log.count:,} clicks in {log.searches:,} searches" for log in logs)
    return [
        _difference("after two rounds less that after one, equal clicks", one, two, 0.005, told),
        _difference("after three rounds less that after two", two, three, 0.0, told),
    ]


def _difference(name: str, old: Outcome, new: Outcome, goal: float, told: str) -> Figure:
    by = paired_difference(old.after[NORMAL], new.after[NORMAL], old.labels)
    return ratio(
        f"strength {NORMAL}: mAP {name}",
        by.point,
        at_least=goal,
        detail=f"[{by.lower:+.4f}, {by.upper:+.4f}]; {told}, each on pages of what those before "
        f"taught; it comes to: {new.told()}",
    )
