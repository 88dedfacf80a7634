"""Outcomes of several draws in; gains on other kinds of photos than those clicked, and by set, out.

Bounds are of labels drawn, each with all its queries in all draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Figure, ratio
from benchmarks.training import MANY, Outcome
from sightline.training.evaluation.paired import Difference, difference_of

PARTS = {True: "clicked labels", False: "labels without a click"}


def sets_of(labels: Iterable[str]) -> NDArray[np.str_]:
    """The set of photos that each label is of: what stands before its slash."""
    return np.array([label.partition("/")[0] for label in labels])


def pooled(
    outcomes: Sequence[Outcome], strength: float, rows: Sequence[NDArray[np.bool_]]
) -> Difference:
    """The gain in mAP of some queries of each outcome, as if they were of one."""
    gained, labels = [], []
    for each, some in zip(outcomes, rows, strict=True):
        able = some & each.before.able
        gains = each.after[strength].average_precision - each.before.average_precision
        gained.append(gains[able])
        labels.append(each.labels[able])
    return difference_of(np.concatenate(gained), np.concatenate(labels))


def by_set(outcomes: Sequence[Outcome], strength: float) -> dict[str, Difference]:
    """The same by set of photos, clicked labels and others apart."""
    names = sorted({name for each in outcomes for name in sets_of(each.labels).tolist()})
    found = {
        f"{name}, {part}": pooled(
            outcomes, strength, [(sets_of(o.labels) == name) & (o.clicked == c) for o in outcomes]
        )
        for name in names
        for c, part in PARTS.items()
    }
    return {name: difference for name, difference in found.items() if difference.queries}


def beyond(
    thirds: Sequence[Outcome],
    others: Mapping[str, Sequence[Outcome]],
    strength: float,
    goals: Mapping[str, float],
) -> Iterator[Figure]:
    """Whether other kinds gain, and whether any set got worse.

    Args:
        thirds: draws of clicked labels, whose sets are slices.
        others: outcomes of photos that are of other kinds than all that was clicked, by name.
        strength: of the heads.
        goals: what some of the others are to gain, by name.
    """
    name = f"{MANY:,} clicks, strength {strength:g}"
    slices = by_set(thirds, strength)
    for kind, outcomes in others.items():
        found = pooled(outcomes, strength, [~each.clicked for each in outcomes])
        before = outcomes[0].means()[1]
        yield ratio(
            f"{name}: gain in mAP, {kind}",
            found.point,
            at_least=goals.get(kind),
            detail=f"{_told(found)}; mAP before {before:.4f}",
        )
        own = by_set(outcomes, strength)
        slices |= {f"{kind}: {each}": found for each, found in own.items()}
    yield ratio(
        f"{name}: sets of photos that were shown to be worse",
        sum(found.upper < 0 for found in slices.values()),
        at_most=0,
        detail="; ".join(f"{each} {_told(found)}" for each, found in slices.items()),
    )


def _told(found: Difference) -> str:
    bounds = f"[{found.lower:+.3f}, {found.upper:+.3f}]"
    return f"{found.point:+.4f} {bounds} by {found.clusters} labels"
