"""Queries of stored pictures in, at most so many of them out, which tell the same.

Each query is compared with every picture, so that a gate's time grows in their product. Bounds come
from kinds and hardly from the queries in them (`paired.py`): so a sample keeps every kind that it
has room for, and else each query has the same chance, whatever its kind.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightline.training.evaluation.click_truth import PictureQueries
from sightline.training.evaluation.paired import Clusters
from sightline.training.evaluation.strength import Groups

Numbers = NDArray[np.int64]


def at_most(queries: PictureQueries, most: int, *, seed: int) -> PictureQueries:
    """The queries themselves where they are no more than `most`, else so many of them.

    Queries about what was clicked and about what was not get half of the room each, or what the
    others leave. Of either the kinds stay in proportion, with one query at least where there is
    room for all kinds.

    Args:
        queries: of any number.
        most: how many are to be ranked.
        seed: of the draw; the same one draws the same.
    """
    if len(queries.anchors) <= most:
        return queries
    chosen = _drawn(queries.groups, most, np.random.default_rng(seed))
    return queries.at(np.sort(chosen), seed=seed)


def _drawn(groups: Groups, most: int, random: np.random.Generator) -> Numbers:
    clicked, others = np.flatnonzero(groups.clicked), np.flatnonzero(~groups.clicked)
    room = min(len(clicked), max(most // 2, most - len(others)))
    sides = ((clicked, room), (others, most - room))
    parts = [side[_in_proportion(groups.clusters[side], n, random)] for side, n in sides]
    return np.concatenate(parts)


def _in_proportion(clusters: Clusters, count: int, random: np.random.Generator) -> Numbers:
    """Choose so many rows (n,): as if each cluster put its rows on a line, evenly from 0 to 1."""
    order = random.permutation(len(clusters))
    order = order[np.argsort(clusters[order], kind="stable")]
    kinds, first, sizes = np.unique(clusters[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(first, sizes)
    turn = (place + np.repeat(random.random(len(kinds)), sizes)) / np.repeat(sizes, sizes)
    if len(kinds) <= count:
        turn[first] = 0
    chosen: Numbers = order[np.argsort(turn, kind="stable")[:count]]
    return chosen
