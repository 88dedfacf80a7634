"""The log and the store in, what people did and where pictures lie out: what trainings read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sightline.engine.connecting.connections import open_event_log
from sightline.engine.errors import RefusedToStart, SettingsInvalid
from sightline.engine.event_log.embedded.journal import JOURNAL_FILE, as_messages, winners_in
from sightline.engine.label_data.judgements import Grade, judgements_of
from sightline.engine.label_data.propensity import PropensityCurve, latest_curve
from sightline.engine.label_data.triple_table import Ends, HeldTriples, read_held
from sightline.engine.label_data.triple_topic import held_in
from sightline.engine.ports import ObjectStore
from sightline.engine.records import Message
from sightline.engine.settings import Mode, Settings
from sightline.schemas.topics import JUDGEMENTS, TRAINING_TRIPLES
from sightline.training.datasets.pairs import ClickPairs, pairs_of
from sightline.training.datasets.pictures import (
    IMAGE_TOPICS,
    Picture,
    public_pictures,
    uploaded_pictures,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """What people did and said, and how far it was read."""

    held: HeldTriples
    judgements: tuple[Grade, ...]
    propensity: PropensityCurve | None
    pairs: ClickPairs


def read_labels(
    settings: Settings, store: ObjectStore, until: Ends | None, *, from_topic: bool = False
) -> Labels:
    """What people did up to some offsets (None: all), and whatever they judged.

    Args:
        settings: of the deployment.
        store: with the sink's files and the position-bias curves.
        until: the offsets.
        from_topic: read the labelled topic itself, not what the sink wrote of it.

    Raises:
        PartUnavailable: the log or the store did not answer.
    """
    bucket = settings.store.bucket
    if from_topic:
        held = held_in(_messages(settings, (TRAINING_TRIPLES.name,)), until=until)
    else:
        held = read_held(store, bucket, until=until)
    judgements = read_judgements(settings)
    propensity = latest_curve(store, bucket)
    pairs = pairs_of(held.table, judgements, propensity=propensity)
    return Labels(held=held, judgements=judgements, propensity=propensity, pairs=pairs)


def read_judgements(settings: Settings) -> tuple[Grade, ...]:
    """Reads whatever people judged, and erasures of judges. Raises `PartUnavailable`."""
    read = judgements_of(_kept_messages(settings, (JUDGEMENTS.name,)))
    return tuple({judgement.event_id: judgement for judgement in read}.values())


def read_pictures(settings: Settings, held: HeldTriples) -> dict[str, Picture]:
    """Where the pictures of all public images lie, and those of uploaded queries.

    Raises:
        PartUnavailable: the log did not answer.
    """
    return uploaded_pictures(held.table) | public_pictures(_kept_messages(settings, IMAGE_TOPICS))


def some_of(images: Sequence[str], count: int, *, seed: int) -> list[str]:
    """At most so many of some images, which the seed chooses."""
    ordered = sorted(images)
    return [ordered[at] for at in np.random.default_rng(seed).permutation(len(ordered))[:count]]


def _kept_messages(settings: Settings, topics: Sequence[str]) -> Iterator[Message]:
    """All that topics held; embedded, the journal has what the log forgot."""
    if settings.mode is Mode.EMBEDDED:
        yield from as_messages(winners_in(settings.data_directory / JOURNAL_FILE, topics))
    yield from _messages(settings, topics)


def _messages(settings: Settings, topics: Sequence[str]) -> Iterable[Message]:
    """What the log holds of topics; embedded, where nothing runs, there is no log."""
    try:
        return open_event_log(settings).read(topics)
    except SettingsInvalid:
        raise
    except RefusedToStart:
        return ()
