"""Vectors of several models in, the searches whose first images are worth a person's time out.

A pool is the union of what each model finds in its first places: what none of them finds there is
not asked about (K. Sparck Jones and C. J. van Rijsbergen, 1975; as TREC does it: E. M. Voorhees and
D. K. Harman, "TREC: Experiment and Evaluation in Information Retrieval", 2005). Where models find
the same, grades tell nothing about which is better; so the searches come first on which they
disagree most.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sightline.engine.label_data.judgements import Pair

Rows = NDArray[np.intp]
Vectors = NDArray[np.floating]
_BLOCK = 256
"""Searches that are ranked at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundForAnchor:
    """What several models find first for n anchors."""

    anchors: Rows
    """(n,) rows of the pictures."""
    images: tuple[tuple[int, ...], ...]
    """For each anchor the union of the models' first images, as ascending rows."""
    disagreement: NDArray[np.float64]
    """(n,) 1 - the mean overlap of two models' first images; 0 of a single model."""


def find_first(models: Sequence[Vectors], anchors: Rows, *, depth: int) -> FoundForAnchor:
    """Search by some of the pictures among all others, with each model.

    Args:
        models: (m, d) vectors of the same m pictures, each in a space of its own.
        anchors: (n,) rows.
        depth: so many images of each model, itself aside.
    """
    firsts = [_first(vectors, anchors, depth) for vectors in models]
    images, disagreement = [], np.zeros(len(anchors))
    for at in range(len(anchors)):
        found = [set(first[at].tolist()) for first in firsts]
        images.append(tuple(sorted(set[int]().union(*found))))
        disagreement[at] = _disagreement(found)
    return FoundForAnchor(anchors=anchors, images=tuple(images), disagreement=disagreement)


def worth_grading(
    found: FoundForAnchor,
    ids: Sequence[str],
    judged: Collection[Pair],
    *,
    first: Sequence[float] | NDArray[np.float64],
    groups: NDArray[np.int64],
    count: int,
) -> list[tuple[int, list[str]]]:
    """The anchors to be graded, with what nobody judged for them yet.

    Args:
        found: what the models find.
        ids: of the pictures.
        judged: what somebody judged already.
        first: (n,) of each anchor, how much it is wanted; at 0 it is not. Ties go by id.
        groups: (pictures,) of look-alikes, of which only one is an anchor.
        count: at most so many.

    Returns:
        Numbers of anchors, the most wanted first, and ids of images.
    """
    names = [ids[row] for row in found.anchors]
    order = sorted(range(len(names)), key=lambda at: (-first[at], names[at]))
    chosen: list[tuple[int, list[str]]] = []
    taken: set[int] = set()
    for at in order:
        group = int(groups[found.anchors[at]])
        open_images = [
            i for i in (ids[r] for r in found.images[at]) if (names[at], i) not in judged
        ]
        if len(chosen) < count and first[at] > 0 and group not in taken and open_images:
            taken.add(group)
            chosen.append((at, open_images))
    return chosen


def _first(vectors: Vectors, anchors: Rows, depth: int) -> Rows:
    """(n, k) rows of what each anchor finds first, itself aside."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    depth = min(depth, len(unit) - 1)
    parts = [np.empty((0, depth), np.intp)]
    for start in range(0, len(anchors), _BLOCK):
        rows = anchors[start : start + _BLOCK]
        similar = unit[rows] @ unit.T
        similar[np.arange(len(rows)), rows] = -np.inf
        parts.append(np.argsort(-similar, axis=1, kind="stable")[:, :depth])
    return np.concatenate(parts)


def _disagreement(found: Sequence[set[int]]) -> float:
    pairs = list(combinations(found, 2))
    if not pairs or not found[0]:
        return 0.0
    return 1.0 - sum(len(one & other) / len(one) for one, other in pairs) / len(pairs)
