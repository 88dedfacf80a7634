"""What the gate says by clicks alone: on small catalogues, of poisoned and of careless clicks.

    python -m benchmarks.click_gate [--photos FOLDER] [--write docs/evaluation.md]

Clicks of simulated people on pages of train photos; what a training keeps out of them judges its
head, as `sightline retrain` does it. Beside it stands what is true: the gain in mAP of query photos
among gallery photos, by label.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.label_guards import uncapped
from benchmarks.label_replay import print_lines, triples_by_anchor
from benchmarks.photo_clicks import DEFAULT, NOISY, Clicks, clicks_on, mined, triple_table
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_in, photo_site
from benchmarks.training import Outcome
from benchmarks.training_unclicked import THIRDS
from sightline.producers.click_simulator.attack import Sabotage
from sightline.producers.click_simulator.user_model import Visitor
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.evaluation.click_truth import clicks_as_truth, score_by_clicks
from sightline.training.evaluation.gate import Evidence, GateLimits, decide
from sightline.training.evaluation.served import compare_served
from sightline.training.evaluation.strength import (
    BY_CLICKS,
    CAREFUL,
    can_choose,
    choose,
    evidence,
)
from sightline.training.loop.learning import LearningSettings, Learnt, hold_back, learn
from sightline.training.models.default_projection import held_out_third

RULES = LabelRules()
LIMITS = GateLimits()
SEED = 1
SIZES = (400, 800, 1_200, 2_000)
CLICKS_EACH = 20
"""Clicks for each picture of a catalogue, so that all of them see the same."""
BEFORE = LearningSettings(held_out=0.2, aside=0.0)
"""A fifth of the kinds and the newest pairs, and nothing else."""
RECORDS = 24_000
"""Of a poisoned log: some 25,000 clicks."""
CROWD, FEW = 400, 4
"""As many sessions as the site has people, and a few, which have few votes."""
ATTACKS = (
    (0.0, CROWD),
    (0.2, FEW),
    (0.5, FEW),
    (0.01, CROWD),
    (0.05, CROWD),
    (0.2, CROWD),
    (0.5, CROWD),
)
"""The part of all searches, from so many sessions."""
SERVED = 200
CHOICE_RECORDS, CHOICE_CLICKS = 102_000, (1_000, 10_000, 100_000)
HELD = (80, 120, 160)
"""So many kinds held out: enough to decide, to choose by half as many, and by as many."""
NOISY_RECORDS, NOISY_CLICKS = 6_000, (1_000, 2_000)
"""A log of careless people with many bots, and so many of their first clicks."""


@dataclass(frozen=True, eq=False)
class Gated:
    """A head, and what the gate says of it by clicks."""

    learnt: Learnt
    strength: float
    found: Evidence

    def told(self) -> str:
        """The verdict; what clicked kinds gain, and the others, with what that rests on."""
        verdict = decide(self.found, LIMITS).verdict.value
        clicked, others = self.found.clicked, self.found.unclicked
        return (
            f"`{verdict}`: {clicked.point:+.3f} by {clicked.queries} queries, "
            f"{others.point:+.3f} by {others.clusters} kinds, at strength {self.strength:g}"
        )


def gated(site: PhotoSite, pairs: ClickPairs, learning: LearningSettings) -> Gated:
    """Train on a part of the pairs, and let the rest judge against what ranked the pages."""
    features = site.features()
    learnt = learn(pairs, features, site.start, replace(learning, head=site.head))
    queries = clicks_as_truth(learnt.pairs, learnt.held_out, learnt.time.later)
    head, groups = learnt.trained.head, queries.groups
    strengths = BY_CLICKS if can_choose(groups, LIMITS) else (CAREFUL,)
    before = score_by_clicks(features, site.serving, queries)
    after = {s: score_by_clicks(features, head.projection(s), queries) for s in strengths}
    chosen = choose(before, after, groups, LIMITS)
    served = head.projection(chosen.strength)(features.features[:SERVED])
    whole = compare_served(served, served)
    found = evidence(before, after[chosen.strength], groups, whole, among=chosen.deciding)
    return Gated(learnt, chosen.strength, found)


def gain(site: PhotoSite, made: Gated) -> float:
    """What the head truly wins: mAP of query photos among gallery photos, by label."""
    projection = made.learnt.trained.head.projection(made.strength)
    old, new = (site.quality(model).means()["mAP"] for model in (site.start, projection))
    return new - old


def smaller(site: PhotoSite, count: int) -> PhotoSite:
    """The site with so many of its photos; query and gallery photos stay."""
    photos = site.photos
    rows = np.flatnonzero(photos.splits == "train")
    kept = photos.splits != "train"
    kept[np.random.default_rng(SEED).permutation(rows)[:count]] = True
    return replace(site, photos=photos.where(kept))


def by_size(site: PhotoSite) -> Iterator[str]:
    """A line for each size of the catalogue."""
    yield "| photos | kinds asked by | held out, set aside | so it was | so it is | truly |"
    yield "|---:|---:|---:|---|---|---:|"
    every = int((site.photos.splits == "train").sum())
    for count in (*(size for size in SIZES if size < every), every):
        shop = smaller(site, count)
        log = shop.clicks(DEFAULT, count * CLICKS_EACH, RULES, seed=SEED)
        pairs = pairs_in([log.first(count * CLICKS_EACH)], RULES)
        before, after = (gated(shop, pairs, each) for each in (BEFORE, LearningSettings()))
        held = after.learnt.held_out
        asked = len(np.unique(held.clusters[after.learnt.pairs.anchor]))
        out = len(np.unique(held.clusters[held.held]))
        yield (
            f"| {count:,} | {asked} | {out} kinds, {held.aside.sum()} photos "
            f"| {before.told()} | {after.told()} | {gain(shop, after):+.3f} |"
        )


def poisoned(site: PhotoSite, share: float, sessions: int) -> Clicks:
    """People's clicks, and those of attackers whose searches are this share of all."""
    catalogue = site.catalogue()
    crowd = Sabotage(
        pictures=catalogue.pictures,
        targets=catalogue.pictures,
        share=share,
        sessions=sessions,
    )
    place = replace(DEFAULT.site(), attack=crowd if share else None)
    return clicks_on(catalogue, DEFAULT, RECORDS, RULES, seed=SEED, site=place)


def of_attackers(clicks: Clicks, triples: Iterator[tuple[str, float]]) -> float:
    """The part of the triples' weight that lies on the attackers' searches."""
    visitors = {name: truth.visitor for name, truth in clicks.truth.searches.items()}
    total = theirs = 0.0
    for search_id, weight in triples:
        total += weight
        theirs += weight * (visitors[search_id] == Visitor.ATTACKER.value)
    return theirs / max(total, 1e-9)


def by_attack(site: PhotoSite) -> Iterator[str]:
    """A line for each attack."""
    yield (
        "| attackers' searches, sessions | of the triples' weight: before votes | after "
        "| truly | the gate, by clicks |"
    )
    yield "|---|---:|---:|---:|---|"
    for share, sessions in ATTACKS:
        log = poisoned(site, share, sessions)
        raw = (
            (triple.search.search_id, triple.sampling_weight)
            for _, triples in triples_by_anchor(log.epochs, uncapped(RULES))
            for _, triple in triples
        )
        table = triple_table(mined(log, RULES), RULES)
        columns = (table[name].to_pylist() for name in ("search_id", "sampling_weight"))
        ruled = zip(*columns, strict=True)
        made = gated(site, pairs_in([log], RULES), LearningSettings())
        yield (
            f"| {share:.0%}, {sessions if share else 0} | {of_attackers(log, raw):.1%} "
            f"| {of_attackers(log, ruled):.1%} | {gain(site, made):+.3f} | {made.told()} |"
        )


def by_choice(site: PhotoSite) -> Iterator[str]:
    """A line for each number of clicks, and of kinds that are held out of what they teach."""
    yield "| clicks | kinds asked by | held out | the gate, by clicks | truly at .35 | .6 | 1 |"
    yield "|---:|---:|---:|---|---|---|---|"
    shop = replace(site, head=replace(site.head, seed=SEED))
    log = shop.clicks(DEFAULT, CHOICE_RECORDS, RULES, seed=SEED)
    for count in CHOICE_CLICKS:
        pairs = pairs_in([log.first(count)], RULES)
        kept = hold_back(pairs, shop.features(), shop.start, LearningSettings(head=shop.head))
        asked = len(np.unique(kept.held_out.clusters[kept.pairs.anchor]))
        for out in [each for each in HELD if 2 * each <= asked] or [round(asked / 5)]:
            made = gated(shop, pairs, LearningSettings(held_out=out / asked))
            outcome = Outcome.of(shop, made.learnt.trained.head)
            gains = " | ".join(
                f"{outcome.gained(s).point:+.3f}, {after.means()['precision@1']:.3f}"
                for s, after in outcome.after.items()
            )
            verdict = f"`{decide(made.found, LIMITS).verdict.value}` at {made.strength:g}"
            yield f"| {count:,} | {asked} | {out} | {verdict} | {gains} |"


def truly(site: PhotoSite, made: Gated) -> str:
    """The gain in mAP of clicked labels and of silent ones, at the strength decided on."""
    outcome = Outcome.of(site, made.learnt.trained.head, (made.strength,))
    pairs = zip(outcome.means(made.strength), outcome.means(), strict=True)
    return " | ".join(f"{new - old:+.3f}" for new, old in pairs)


def by_noise(site: PhotoSite) -> Iterator[str]:
    """A line for each draw of the silent labels, and for each log of careless people there."""
    yield "| silent third | clicks | the gate, by clicks | truly, clicked labels | silent labels |"
    yield "|---:|---:|---|---:|---:|"
    for draw in range(THIRDS):
        shop = site.without(held_out_third(site.photos.labels.tolist(), draw))
        log = shop.clicks(NOISY, NOISY_RECORDS, RULES, seed=SEED)
        for count in NOISY_CLICKS:
            pairs = pairs_in([log.first(count)], RULES)
            made = gated(shop, pairs, LearningSettings())
            yield f"| {draw} | {count:,} | {made.told()} | {truly(shop, made)} |"


TABLES = {
    "clicks that decide": by_size,
    "a strength that clicks choose": by_choice,
    "poisoned clicks": by_attack,
    "noisy clicks": by_noise,
}


def main() -> None:
    """Print the tables, or put them between their marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--write", type=Path, help="a page with the marks")
    parser.add_argument("--only", choices=tuple(TABLES), help="one of the tables")
    arguments = parser.parse_args()
    site = photo_site(arguments.photos)
    for name in [arguments.only] if arguments.only else TABLES:
        print_lines(TABLES[name](site), name, arguments.write)


if __name__ == "__main__":
    main()
