"""The log and the store in, what people did and where pictures lie out: what trainings read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sightline.engine.errors import ObjectMissing, SettingsInvalid
from sightline.engine.label_data.judgements import Grade
from sightline.engine.label_data.propensity import (
    PropensityCurve,
    curve_key,
    latest_curve,
    load_curve,
)
from sightline.engine.label_data.triple_table import HeldTriples, read_held
from sightline.engine.label_data.triple_topic import held_in
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.commands.extent import NO_CURVE, Extent
from sightline.infra.commands.kept_messages import kept_messages, log_messages, read_judgements
from sightline.schemas.topics import TRAINING_TRIPLES
from sightline.training.datasets.pairs import ClickPairs, pairs_of
from sightline.training.datasets.pictures import (
    IMAGE_TOPICS,
    Picture,
    public_pictures,
    uploaded_pictures,
)

EVERYTHING = Extent()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """What people did and said, and how far it was read."""

    held: HeldTriples
    judgements: tuple[Grade, ...]
    propensity: PropensityCurve | None
    pairs: ClickPairs


def read_labels(
    settings: Settings,
    store: ObjectStore,
    until: Extent = EVERYTHING,
    *,
    from_topic: bool = False,
) -> Labels:
    """What people did and judged, and the curve that weighs their clicks.

    Args:
        settings: of the deployment.
        store: with the sink's files and the position-bias curves.
        until: how far to read.
        from_topic: read the labelled topic itself, not what the sink wrote of it.

    Raises:
        SettingsInvalid: the curve that it asks for is gone.
        PartUnavailable: the log or the store did not answer.
    """
    bucket = settings.store.bucket
    if from_topic:
        held = held_in(log_messages(settings, (TRAINING_TRIPLES.name,)), until=until.ends)
    else:
        held = read_held(store, bucket, until=until.ends)
    judgements = until.judged(read_judgements(settings))
    propensity = _curve(store, bucket, until.propensity)
    pairs = pairs_of(held.table, judgements, propensity=propensity)
    return Labels(held=held, judgements=judgements, propensity=propensity, pairs=pairs)


def _curve(store: ObjectStore, bucket: str, version: int | None) -> PropensityCurve | None:
    if version is None:
        return latest_curve(store, bucket)
    if version == NO_CURVE:
        return None
    try:
        return load_curve(store, bucket, version)
    except ObjectMissing as error:
        raise SettingsInvalid(
            f"{curve_key(version)}, the curve that weighed the clicks, is gone: train anew"
        ) from error


def read_pictures(settings: Settings, held: HeldTriples) -> dict[str, Picture]:
    """Where the pictures of all public images lie, and those of uploaded queries.

    Raises:
        PartUnavailable: the log did not answer.
    """
    return uploaded_pictures(held.table) | public_pictures(kept_messages(settings, IMAGE_TOPICS))


def some_of(images: Sequence[str], count: int, *, seed: int) -> list[str]:
    """At most so many of some images, which the seed chooses."""
    ordered = sorted(images)
    return [ordered[at] for at in np.random.default_rng(seed).permutation(len(ordered))[:count]]
