"""What familiarity adds: less change where a picture is unlike all that was clicked.

    OTHER_PHOTOS=FOLDER python -m benchmarks.familiarity [--write docs/training.md]

As `training_unclicked.py` with the most clicks, six thirds of the labels being silent in turn, and
with clicks on all labels. A head may change familiar directions alone (`HeadSettings.familiar`); or
a gate gives each picture a strength of its own, which the product has not. Some 20 minutes of one
core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.familiar_draws import counted, each_told
from benchmarks.label_replay import print_table
from benchmarks.photo_clicks import DEFAULT
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_in, photo_site
from benchmarks.photo_slices import PARTS, by_set, pooled
from benchmarks.query_matrix import projected, unit
from benchmarks.training import CAREFUL, GREEDY, MANY, NORMAL, RECORDS, RULES, SEED, Outcome
from benchmarks.training_unclicked import THIRDS, elsewhere
from sightline.engine.embedding.embedder import Features, Projection
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.evaluation.paired import Difference
from sightline.training.loop.familiar import kept_along_familiar
from sightline.training.loop.head import Head
from sightline.training.models.default_projection import held_out_third

MARK = "a familiarity gate"
STRENGTHS = (CAREFUL, NORMAL, GREEDY)
KNOWN, NEAREST = 1_000, 5
"""Of so many clicked photos the nearest so many say how familiar a photo is."""
STEEPNESS, UNFAMILIAR = 20.0, 0.05
"""Of the sigmoid, and the part of the clicked photos that lies below its middle."""
SETTLED = 0.72
"""A strength between, at which a head along familiar directions wins what was asked for."""
GATED, ALONG = 10.0, 20.0
"""Added to a strength, to name the same one behind the gate, and along familiar directions."""
WAYS = {
    0.0: ("strength", STRENGTHS),
    GATED: ("the gate,", STRENGTHS),
    ALONG: ("along familiar directions,", (CAREFUL, NORMAL, SETTLED, GREEDY)),
}
NAMED = {f"{name} {s:g}": way + s for way, (name, all_) in WAYS.items() for s in all_}
MOST = ("the gate, 0.6", "along familiar directions, 0.72")
"""By which most draws win all that was asked for; they are told draw by draw."""


@dataclass(frozen=True)
class Gate:
    """How familiar photos are, by the shipped model."""

    start: Projection
    known: Features
    """Unit vectors of clicked photos."""
    middle: float

    @classmethod
    def of(cls, site: PhotoSite, pairs: ClickPairs) -> Gate:
        """By a part of what people asked by or preferred."""
        rows = np.random.default_rng(0).permutation(clicked_features(site, pairs))
        known = unit(projected(site.start, rows[:KNOWN]))
        others = known @ known.T
        np.fill_diagonal(others, -1)
        return cls(site.start, known, float(np.quantile(_nearness(others), UNFAMILIAR)))

    def vectors(self, head: Head, strength: float, features: Features) -> Features:
        """Each photo's by a strength of its own."""
        near = _nearness(unit(projected(self.start, features)) @ self.known.T)
        familiar = 1 / (1 + np.exp(-STEEPNESS * (near - self.middle)))
        centred = features - head.mean
        turned = centred @ head.base + strength * familiar[:, None] * (centred @ head.change)
        return np.asarray(turned, np.float32)


def clicked_features(site: PhotoSite, pairs: ClickPairs) -> Features:
    """(photos, features) of what people asked by or preferred, by name."""
    features = site.features()
    seen = pairs.among(features.images)
    return features.features[np.union1d(seen.anchor, seen.positive)]


def _nearness(cosines: Features) -> Features:
    return np.asarray(np.sort(cosines, axis=1)[:, -NEAREST:].mean(axis=1))


def measured(site: PhotoSite, head: Head, gate: Gate, clicked: Features) -> Outcome:
    """At each strength: as the head is, behind the gate, and along familiar directions."""
    behind = {GATED + s: site.found_by(partial(gate.vectors, head, s)) for s in STRENGTHS}
    kept = kept_along_familiar(site.start, head, clicked)
    along = {ALONG + s: site.quality(kept.projection(s)) for s in WAYS[ALONG][1]}
    plain = Outcome.of(site, head, STRENGTHS)
    return replace(plain, after=plain.after | behind | along)


def taught(site: PhotoSite, records: int) -> tuple[Outcome, ...]:
    """What many clicks teach of the site's photos, and of photos of other things."""
    pairs = pairs_in([site.clicks(DEFAULT, records, RULES, seed=SEED).first(MANY)], RULES)
    head, gate, clicked = site.trained(pairs), Gate.of(site, pairs), clicked_features(site, pairs)
    return tuple(measured(each, head, gate, clicked) for each in (site, elsewhere(site)) if each)


def lines(draws: Sequence[tuple[Outcome, ...]]) -> Iterator[str]:
    """A line for each strength of each way, of the means of some draws."""
    sites, *away = zip(*draws, strict=True)
    parts = [(PARTS[True], sites, True), (PARTS[False], sites, False)]
    parts += [("photos of other things", others, False) for others in away]
    parts = [(name, all_, c) for name, all_, c in parts if (all_[0].clicked == c).any()]
    yield f"| | {' | '.join(name for name, _, _ in parts)} | shown to be worse |"
    yield f"|---{'|---:' * len(parts)}|---|"
    for name, strength in NAMED.items():
        found = [pooled(all_, strength, [o.clicked == c for o in all_]) for _, all_, c in parts]
        slices = [pair for all_ in (sites, *away) for pair in by_set(all_, strength).items()]
        worse = "; ".join(f"{set_} {_points(by)}" for set_, by in slices if by.upper < 0)
        yield f"| {name} | {' | '.join(map(_points, found))} | {worse} |"


def _points(by: Difference) -> str:
    return f"{100 * by.point:+.1f}"


def table(photos: Path, records: int) -> str:
    """Six thirds, one after the other; then one draw of clicks on all labels."""
    site = photo_site(photos)
    labels = site.photos.labels.tolist()
    silent = [held_out_third(labels, seed) for seed in range(THIRDS)]
    thirds = [taught(site.without(some), records) for some in silent]
    tables = {
        "A third of the labels is silent:": lines(thirds),
        "In how many of these draws by itself:": counted(thirds, NAMED),
        "Those by which most draws win all that was asked for:": each_told(
            thirds, {name: NAMED[name] for name in MOST}
        ),
        "All labels are clicked:": lines([taught(site, records)]),
    }
    return "\n\n".join("\n".join([title, "", *rows]) for title, rows in tables.items())


if __name__ == "__main__":
    torch.set_num_threads(1)
    print_table(__doc__, MARK, table, photos=PHOTOS, records=RECORDS)
