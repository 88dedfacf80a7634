"""What familiarity adds: less change where a picture is unlike all that was clicked.

    OTHER_PHOTOS=FOLDER python -m benchmarks.familiarity [--write docs/training.md]

As `training_unclicked.py` with the most clicks, six thirds of the labels being silent in turn, and
with clicks on all labels. A head may change familiar directions alone (`HeadSettings.familiar`),
let each picture take a share of the change by how familiar it is (`HeadSettings.familiarity_gate`),
or both. Some 20 minutes of one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.familiar_draws import counted, each_told
from benchmarks.label_replay import print_table
from benchmarks.photo_clicks import DEFAULT
from benchmarks.photo_models import PHOTOS, PhotoSite, pairs_in, photo_site
from benchmarks.photo_slices import PARTS, by_set, pooled
from benchmarks.training import CAREFUL, GREEDY, MANY, NORMAL, RECORDS, RULES, SEED, Outcome
from benchmarks.training_unclicked import THIRDS, elsewhere
from sightline.engine.embedding.projections import Features
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.evaluation.paired import Difference
from sightline.training.loop.familiar import kept_along_familiar
from sightline.training.loop.gating import gate_of
from sightline.training.loop.head import Head
from sightline.training.models.default_projection import held_out_third

MARK = "a familiarity gate"
STRENGTHS = (CAREFUL, NORMAL, GREEDY)
SETTLED = 0.72
"""A strength between, at which a head along familiar directions wins what was asked for."""
GATED, ALONG, BOTH = 10.0, 20.0, 30.0
"""Added to a strength, to name the same one by another way."""
WAYS = {
    0.0: ("strength", STRENGTHS),
    GATED: ("the gate,", (CAREFUL, NORMAL, SETTLED, GREEDY)),
    ALONG: ("along familiar directions,", (CAREFUL, NORMAL, SETTLED, GREEDY)),
    BOTH: ("both,", (NORMAL, SETTLED, GREEDY)),
}
NAMED = {f"{name} {s:g}": way + s for way, (name, all_) in WAYS.items() for s in all_}
MOST = ("the gate, 0.6", "the gate, 0.72", "along familiar directions, 0.72")
"""By which most draws win all that was asked for; they are told draw by draw."""


def clicked_features(site: PhotoSite, pairs: ClickPairs) -> Features:
    """(photos, features) of what people asked by or preferred, by name."""
    features = site.features()
    seen = pairs.among(features.images)
    return features.features[np.union1d(seen.anchor, seen.positive)]


@dataclass(frozen=True)
class Heads:
    """What the same clicks make of one head, each way, as a training does."""

    made: Mapping[float, Head]
    """By what is added to a strength to name it."""

    @classmethod
    def of(cls, site: PhotoSite, head: Head, clicked: Features) -> Heads:
        """A head as it is, behind the gate, along familiar directions, and both."""
        gate = gate_of(site.start, clicked, seed=site.head.seed)
        along = kept_along_familiar(site.start, head, clicked)
        gated, both = (replace(each, gate=gate) for each in (head, along))
        return cls({0.0: head, GATED: gated, ALONG: along, BOTH: both})

    def measured(self, site: PhotoSite) -> Outcome:
        """At every strength of every way."""
        ways = [(way, s) for way, (_, strengths) in WAYS.items() for s in strengths]
        after = {way + s: site.quality(self.made[way].projection(s)) for way, s in ways}
        return replace(Outcome.of(site, self.made[0.0], ()), after=after)


def taught(site: PhotoSite, records: int) -> tuple[Outcome, ...]:
    """What many clicks teach of the site's photos, and of photos of other things."""
    pairs = pairs_in([site.clicks(DEFAULT, records, RULES, seed=SEED).first(MANY)], RULES)
    heads = Heads.of(site, site.trained(pairs), clicked_features(site, pairs))
    return tuple(heads.measured(each) for each in (site, elsewhere(site)) if each)


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
