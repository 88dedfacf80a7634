"""A whole training: pairs and pictures in, what is held back, and the head trained on the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.projections import Projection, project_all
from sightline.engine.errors import SettingsInvalid
from sightline.training.datasets.clusters import picture_clusters
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.look_alikes import look_alike_groups
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.datasets.splits import (
    HeldOut,
    TimeSplit,
    held_out_clusters,
    split_by_time,
)
from sightline.training.evaluation.gate import GateLimits
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.training import Trained, train_head
from sightline.training.tracking import Track, untracked

_FIFTH = 0.2
_DECIDE = GateLimits().min_clusters
_CHOOSE = _DECIDE + GateLimits().min_choosing
_CHOOSE_FROM, _DECIDE_FROM = _CHOOSE * 5 // 2, _DECIDE * 2
"""From so many kinds on two fifths of them are enough to choose a strength, or half to decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningSettings:
    """How a head is trained, and what it never sees, so that others can judge it by that.

    Raises:
        SettingsInvalid: a share that leaves nothing to train on.
    """

    head: HeadSettings = field(default_factory=HeadSettings)
    held_out: float | None = None
    """Share of the kinds of things that are kept out: is the model worse on what nobody clicked?
    None: a fifth, or as many as decide that where these are at most half of the kinds, and those
    that choose a strength besides where both are at most two fifths."""
    aside: float = 0.1
    """Share of the pictures of the other kinds that are kept out: is it better on kinds that
    people clicked, but by pictures that it does not know?"""
    later: float = 0.1
    """Share of the newest pairs that are kept out: is it better on what people will click?"""

    def __post_init__(self) -> None:
        """Refuse shares that are none, or all."""
        for name in ("held_out", "aside", "later"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise SettingsInvalid(f"{name} must lie from 0 to below 1")

    def share_of(self, kinds: int) -> float:
        """Which share is kept out of so many kinds that anything was asked by."""
        if self.held_out is not None:
            return self.held_out
        if kinds < _DECIDE_FROM:
            return _FIFTH
        return max(_FIFTH, (_CHOOSE if kinds >= _CHOOSE_FROM else _DECIDE) / kinds)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Learnt:
    """The head, and the pairs that it may be judged by."""

    trained: Trained
    pairs: ClickPairs
    """All of which both pictures exist, numbered by the pictures."""
    held_out: HeldOut
    time: TimeSplit
    trained_on: NDArray[np.bool_]
    """(n,) which of the pairs taught."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldBack:
    """Pairs that teach, and pairs that may judge."""

    pairs: ClickPairs
    """All of which both pictures exist, numbered by the pictures."""
    held_out: HeldOut
    time: TimeSplit
    trained_on: NDArray[np.bool_]
    """(n,) which of the pairs teach."""


def hold_back(
    pairs: ClickPairs,
    features: PictureFeatures,
    start: Projection,
    settings: LearningSettings,
    labels: Sequence[str | None] | None = None,
) -> HeldBack:
    """Keep the newest pairs, a share of the kinds and some pictures of the others from teaching.

    Arguments as `learn`.
    """
    known = pairs.among(features.images)
    groups = look_alike_groups(features.hashes, bits=settings.head.near_duplicate_bits)
    seed = settings.head.seed
    vectors = project_all(start, features.features)
    clusters = picture_clusters(vectors, groups, labels=labels, seed=seed)
    share = settings.share_of(len(np.unique(clusters[known.anchor])))
    held = held_out_clusters(
        known, clusters, share=share, aside=settings.aside, groups=groups, seed=seed
    )
    time = split_by_time(known, groups, later_share=settings.later)
    trained_on = held.train & time.earlier if settings.later else held.train
    return HeldBack(pairs=known, held_out=held, time=time, trained_on=trained_on)


def learn(
    pairs: ClickPairs,
    features: PictureFeatures,
    start: Projection,
    settings: LearningSettings,
    *,
    labels: Sequence[str | None] | None = None,
    checkpoint: Path | None = None,
    track: Track = untracked,
) -> Learnt:
    """Hold back the newest pairs, some kinds and some pictures, and train on the rest.

    Args:
        pairs: what people preferred.
        features: of the pictures, and of others that serve as random negatives.
        start: the projection that the clicks improve upon.
        settings: how.
        labels: what each picture of `features` shows, where it is known.
        checkpoint: as in `train_head`.
        track: shows how far it is.

    Raises:
        SettingsInvalid: as `train_head`; what is held back leaves nothing to train on.
    """
    kept = hold_back(pairs, features, start, settings, labels)
    trained = train_head(
        kept.pairs.chosen(kept.trained_on),
        features.chosen(kept.held_out.teaches),
        start,
        settings.head,
        checkpoint=checkpoint,
        track=track,
    )
    return Learnt(
        trained=trained,
        pairs=kept.pairs,
        held_out=kept.held_out,
        time=kept.time,
        trained_on=kept.trained_on,
    )
