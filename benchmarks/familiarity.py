"""What familiarity would add: less strength where a picture is unlike all that was clicked.

    OTHER_PHOTOS=FOLDER python -m benchmarks.familiarity [--write docs/training.md]

As `training_unclicked.py` with the most clicks, six thirds of the labels being silent in turn. A
gate gives each picture a strength of its own; or a projection changes along familiar directions
alone. The product has neither: they are measured beside the strengths that there are. Half an hour
of one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

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
from sightline.training.loop.head import Head
from sightline.training.models.default_projection import held_out_third

MARK = "a familiarity gate"
STRENGTHS = (CAREFUL, NORMAL, GREEDY)
KNOWN, NEAREST = 1_000, 5
"""Of so many clicked photos the nearest so many say how familiar a photo is."""
STEEPNESS, UNFAMILIAR = 20.0, 0.05
"""Of the sigmoid, and the part of the clicked photos that lies below its middle."""
GATED, ALONG = 10.0, 20.0
"""Added to a strength, to name the same one behind the gate, and along familiar directions."""
NAMES = {0.0: "strength", GATED: "the gate,", ALONG: "along familiar directions,"}


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
        based = (features - head.mean) @ head.base
        turned = based + strength * familiar[:, None] * (based @ head.residual)
        return np.asarray(turned, np.float32)


def clicked_features(site: PhotoSite, pairs: ClickPairs) -> Features:
    """(photos, features) of what people asked by or preferred, by name."""
    features = site.features()
    seen = pairs.among(features.images)
    return features.features[np.union1d(seen.anchor, seen.positive)]


def along_familiar(start: Projection, head: Head, strength: float, clicked: Features) -> Projection:
    """The shipped projection, changed along directions in which clicked photos vary, and no other.

    The least squares of two wishes: to be the head on clicked photos, of second moments C, and the
    shipped projection on noise of as much variance in every direction: (C + I tr C / f)⁻¹ C times
    the change.
    """
    centred = (clicked - start.mean).astype(np.float64)
    moments = centred.T @ centred / len(centred)
    noise = np.eye(len(moments)) * np.trace(moments) / len(moments)
    change = head.projection(strength).matrix - start.matrix
    kept = np.linalg.solve(moments + noise, moments @ change)
    return Projection(start.mean, start.matrix + kept.astype(np.float32))


def _nearness(cosines: Features) -> Features:
    return np.asarray(np.sort(cosines, axis=1)[:, -NEAREST:].mean(axis=1))


def measured(site: PhotoSite, head: Head, gate: Gate, clicked: Features) -> Outcome:
    """At each strength: as the head is, behind the gate, and along familiar directions."""
    behind = {GATED + s: site.found_by(partial(gate.vectors, head, s)) for s in STRENGTHS}
    along = {
        ALONG + s: site.quality(along_familiar(site.start, head, s, clicked)) for s in STRENGTHS
    }
    plain = Outcome.of(site, head, STRENGTHS)
    return replace(plain, after=plain.after | behind | along)


def one_third(site: PhotoSite, silent: Sequence[str], records: int) -> tuple[Outcome, ...]:
    """What many clicks teach of the site's photos, and of photos of other things."""
    site = site.without(silent)
    pairs = pairs_in([site.clicks(DEFAULT, records, RULES, seed=SEED).first(MANY)], RULES)
    head, gate, clicked = site.trained(pairs), Gate.of(site, pairs), clicked_features(site, pairs)
    return tuple(measured(each, head, gate, clicked) for each in (site, elsewhere(site)) if each)


def lines(thirds: Sequence[tuple[Outcome, ...]]) -> Iterator[str]:
    """A line for each strength of each way."""
    sites, *away = zip(*thirds, strict=True)
    columns = (*PARTS.values(), *(["photos of other things"] if away else []), "shown to be worse")
    yield f"| | {' | '.join(columns)} |"
    yield f"|---{'|---:' * (len(columns) - 1)}|---|"
    for way, plain in product(NAMES, STRENGTHS):
        strength = way + plain
        found = [pooled(sites, strength, [each.clicked for each in sites])]
        found += [pooled(all_, strength, [~o.clicked for o in all_]) for all_ in (sites, *away)]
        slices = [pair for all_ in (sites, *away) for pair in by_set(all_, strength).items()]
        worse = "; ".join(f"{name} {_points(by)}" for name, by in slices if by.upper < 0)
        yield f"| {NAMES[way]} {plain:g} | {' | '.join(map(_points, found))} | {worse} |"


def _points(by: Difference) -> str:
    return f"{100 * by.point:+.1f}"


def table(photos: Path, records: int) -> str:
    """Six thirds, one after the other."""
    site = photo_site(photos)
    labels = site.photos.labels.tolist()
    thirds = [one_third(site, held_out_third(labels, seed), records) for seed in range(THIRDS)]
    return "\n".join(lines(thirds))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print_table(__doc__, MARK, table, photos=PHOTOS, records=RECORDS)
