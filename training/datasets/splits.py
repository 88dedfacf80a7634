"""Pairs in, which of them train and which of them test out: by time, or by what they are about.

No search is on both sides, and no two look-alikes are asked by on both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightline.training.datasets.look_alikes import connected
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.datasets.triple_rows import JUDGED

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
_ASIDE = 1
"""Beside the seed: pictures are not set aside by the numbers that chose the kinds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimeSplit:
    """What came before an instant and what came after, each (n,) over the pairs."""

    earlier: Mask
    later: Mask
    """Pairs in neither came after the instant, of anchors that were asked by before."""
    cut_ms: int
    """The instant, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """Kinds of things of which nothing is trained, and single pictures of the other kinds."""

    clusters: Ints
    """(images,) the kind of each of the pairs' images."""
    held: Mask
    """(images,) whether a picture is of a kind that is held out."""
    aside: Mask
    """(images,) whether a picture was set aside from a kind that is not."""
    train: Mask
    """(n,) pairs of which neither picture is held out or set aside."""
    test: Mask
    """(n,) pairs that were asked by a picture of a kind that is held out."""
    asked: Mask
    """(n,) pairs that were asked by a picture that was set aside."""

    @property
    def teaches(self) -> Mask:
        """(images,) the pictures that training may see."""
        return ~(self.held | self.aside)


def split_by_time(pairs: ClickPairs, groups: Ints, *, later_share: float = 0.2) -> TimeSplit:
    """Cut where `later_share` of the pairs is left; look-alikes of earlier anchors test nothing.

    Args:
        pairs: in order of time.
        groups: (images,) of look-alikes, of the pairs' images.
        later_share: from 0 to 1.
    """
    if not len(pairs):
        nothing = np.zeros(0, bool)
        return TimeSplit(earlier=nothing, later=nothing, cut_ms=0)
    cut = min(int(len(pairs) * (1 - later_share)), len(pairs) - 1)
    return cut_by_time(pairs, groups, cut_ms=int(pairs.issued_at_ms[cut]))


def cut_by_time(pairs: ClickPairs, groups: Ints, *, cut_ms: int) -> TimeSplit:
    """Cut at an instant, as an earlier `split_by_time` of the same pairs did.

    Args:
        pairs: at least one, in order of time.
        groups: (images,) of look-alikes, of the pairs' images.
        cut_ms: in milliseconds since 1970.
    """
    unit = _units(pairs, groups)
    began = np.full(unit.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(began, unit, pairs.issued_at_ms)
    return TimeSplit(
        earlier=pairs.issued_at_ms < cut_ms, later=began[unit] >= cut_ms, cut_ms=cut_ms
    )


def held_out_clusters(
    pairs: ClickPairs,
    clusters: Ints,
    *,
    share: float = 0.2,
    aside: float = 0.0,
    groups: Ints | None = None,
    seed: int = 0,
) -> HeldOut:
    """Hold out a share of the clusters that anything was asked by; equal seeds, equal choice.

    Args:
        pairs: whose `images` the clusters are of.
        clusters: (images,) numbers from 0 (`picture_clusters`).
        share: of the clusters, rounded; none of a single one.
        aside: share of the other pictures that anything was asked by, which is set aside.
        groups: (images,) of look-alikes, which are set aside together; None: there are none.
        seed: of the choice.
    """
    asked = np.unique(clusters[pairs.anchor])
    chosen = np.random.default_rng(seed).permutation(asked)[: round(len(asked) * share)]
    held = np.isin(clusters, chosen)
    alike = np.arange(len(clusters)) if groups is None else groups
    left = _set_aside(pairs.anchor[~held[pairs.anchor]], clusters, alike, share=aside, seed=seed)
    return held_out(pairs, clusters, held, left)


def held_out(pairs: ClickPairs, clusters: Ints, held: Mask, aside: Mask) -> HeldOut:
    """Tell the pairs apart by pictures that are held out or set aside, as is said of each.

    Args:
        pairs: n pairs.
        clusters: (images,) the kind of each of the pairs' images.
        held: (images,) whether it is held out, as is its whole kind.
        aside: (images,) whether it was set aside, though its kind is not held out.
    """
    kept = held | aside
    return HeldOut(
        clusters=clusters,
        held=held,
        aside=aside,
        train=~(kept[pairs.anchor] | kept[pairs.positive]),
        test=held[pairs.anchor],
        asked=aside[pairs.anchor],
    )


def _set_aside(
    anchors: NDArray[np.integer], clusters: Ints, groups: Ints, *, share: float, seed: int
) -> Mask:
    """Choose a share of some anchors' groups, (images,); of each kind one group stays at least."""
    asked = np.unique(groups[anchors])
    ordered = np.random.default_rng((seed, _ASIDE)).permutation(asked)
    kind = np.zeros(int(groups.max(initial=-1)) + 1, np.int64)
    kind[groups] = clusters
    stays = np.unique(kind[ordered], return_index=True)[1]
    return np.isin(groups, np.delete(ordered, stays)[: round(len(asked) * share)])


def _units(pairs: ClickPairs, groups: Ints) -> Ints:
    """Number what must stay together, (n,): pairs whose anchors look alike, and each search."""
    searches, search = np.unique(np.asarray(pairs.search, object).astype(str), return_inverse=True)
    own = np.flatnonzero(np.asarray(pairs.search, object) != JUDGED)
    anchor = groups[pairs.anchor]
    count = int(groups.max()) + 1
    edges = np.stack([anchor[own], count + search.ravel()[own]], axis=1)
    return connected(edges, count=count + len(searches))[anchor]
