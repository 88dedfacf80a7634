"""Pairs, features and a projection in, a better head and its learning curve out.

The recipe: whiten what clicked pairs differ in (`whitening`), then learn a linear residual of it by
InfoNCE over in-batch, passed-over and random negatives, none of which the clicks speak for
(`batches`). Features stay frozen, so that a step is a product of small matrices. Where it is asked
for, the residual is trained with hidden layers and then made linear (`residual`), what came out
changes familiar directions alone (`familiar`), and a gate lets familiar pictures alone take it
(`gating`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.projections import Projection, project_all
from sightline.engine.errors import SettingsInvalid
from sightline.engine.pictures.hash_words import hash_words
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.loop.batches import Batches, chances
from sightline.training.loop.checkpoint import Checkpoint, inputs_digest
from sightline.training.loop.familiar import kept_along_familiar
from sightline.training.loop.gating import gate_of
from sightline.training.loop.head import Head
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.steps import Steps
from sightline.training.loop.whitening import whitened
from sightline.training.tracking import Track, untracked

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What each step saw, from the first."""

    losses: Floats
    """(steps,) in nats."""
    masked: Floats
    """(steps,) share of candidates that were no negatives, the positives apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """The head that came out, and how it came about."""

    head: Head
    curve: Curve
    pairs: int
    """How many pairs had both pictures."""


def train_head(
    pairs: ClickPairs,
    features: PictureFeatures,
    start: Projection,
    settings: HeadSettings,
    *,
    checkpoint: Path | None = None,
    track: Track = untracked,
) -> Trained:
    """Train a head; equal arguments give equal bytes on one machine with one number of threads.

    Args:
        pairs: what people preferred; pairs without a picture are left out.
        features: of the pictures, and of others that serve as random negatives.
        start: (f,) mean and (f, d) matrix that the clicks improve upon.
        settings: how.
        checkpoint: a file that keeps the state, and from which an interrupted training of the
            same goes on with the same result; none: it starts again.
        track: shows how far it is.

    Raises:
        SettingsInvalid: no pair has both pictures, or the start does not fit the features.
        StaleCheckpoint: the checkpoint is of another training.
    """
    known = pairs.among(features.images)
    if not len(known):
        raise SettingsInvalid("there is nothing to train on: no pair of which both pictures exist")
    if features.features.shape[1:] != start.mean.shape:
        raise SettingsInvalid(
            f"the projection takes {start.mean.shape[0]} features, and the pictures have "
            f"{features.features.shape[1]}"
        )
    base = _base(known, features, start, settings)
    steps = Steps(
        base_vectors=project_all(Projection(start.mean, base), features.features),
        batches=Batches(known, hash_words(features.hashes), settings),
        settings=settings,
        count=settings.steps_for(len(known)),
    )
    inputs = "" if checkpoint is None else inputs_digest(known, features, start, settings)
    kept = None if checkpoint is None else Checkpoint.load(checkpoint, inputs=inputs)
    state, every = kept or steps.begin(), settings.checkpoint_every
    left = range(state.steps, steps.count, every)
    for _ in track(left, f"{every} steps each", len(left)):
        state = steps.done(state, at_most=every)
        if checkpoint is not None:
            state.save(checkpoint, inputs=inputs)
    head = Head.of(start.mean, base, steps.linear(state))
    clicked = features.features[np.union1d(known.anchor, known.positive)]
    if settings.familiar:
        head = kept_along_familiar(start, head, clicked)
    if settings.familiarity_gate:
        head = replace(head, gate=gate_of(start, clicked, seed=settings.seed))
    return Trained(
        head=head, curve=Curve(losses=state.losses, masked=state.shares), pairs=len(known)
    )


def _base(
    pairs: ClickPairs, features: PictureFeatures, start: Projection, settings: HeadSettings
) -> Floats:
    if not settings.whitening:
        return start.matrix
    vectors, often = project_all(start, features.features), chances(pairs, balance=settings.balance)
    weight = (pairs.weight * often).astype(np.float32)
    return whitened(start, vectors, pairs.anchor, pairs.positive, weight)
