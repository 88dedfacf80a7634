"""What `sightline train` does: label data, pictures and settings in, a folder with a head out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sightline.engine.connecting.connections import open_event_log
from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.connecting.serving_model import as_serving
from sightline.engine.embedding.choice import open_runtime
from sightline.engine.embedding.embedder import Projection, Runtime, load_projection
from sightline.engine.embedding.model_files import ModelSource, model_source
from sightline.engine.embedding.registered_models import reference_in
from sightline.engine.errors import RefusedToStart, SettingsInvalid
from sightline.engine.event_log.embedded.journal import JOURNAL_FILE, as_messages, winners_in
from sightline.engine.label_data.judgements import Grade, judgements_of
from sightline.engine.label_data.propensity import PropensityCurve, latest_curve
from sightline.engine.label_data.triple_table import Ends, HeldTriples, read_held
from sightline.engine.label_data.triple_topic import held_in
from sightline.engine.ports import ObjectStore
from sightline.engine.records import Message
from sightline.engine.settings import EmbedderSettings, Mode, Settings
from sightline.infra.commands.label_store import opened_store
from sightline.schemas.topics import JUDGEMENTS, TRAINING_TRIPLES
from sightline.training.datasets.feature_cache import FeatureCache
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.pairs import ClickPairs, pairs_of
from sightline.training.datasets.picture_features import FeatureMaker, Made
from sightline.training.datasets.pictures import (
    IMAGE_TOPICS,
    Picture,
    public_pictures,
    uploaded_pictures,
)
from sightline.training.loop.checkpoint import StaleCheckpoint
from sightline.training.loop.code import code_record
from sightline.training.loop.events import need_tensorboard, write_events
from sightline.training.loop.learning import LearningSettings, Learnt, learn
from sightline.training.loop.run_folder import begin_run, end_run, read_record
from sightline.training.tracking import Track, untracked

_CACHE = Path(".cache", "sightline", "features")
_PACKAGE = "sightline-search"
TOPIC, PARQUET = "topic", "parquet"
"""Where a run read its triples, as its record says it."""
Say = Callable[[str], None]
"""Tells whoever waits how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainWishes:
    """What the command line asks for: how to train, where to write."""

    folder: Path
    """Where the run is written."""
    learning: LearningSettings = field(default_factory=LearningSettings)
    corpus: int = 2_000
    """Public pictures beside those in the pairs, as random negatives."""
    like: Path | None = None
    """The folder of an earlier run: read the labelled topic no further than it did."""
    until: Ends | None = None
    """Read the labelled topic up to these offsets; None: as far as it goes, or as `like` says."""
    from_topic: bool = False
    """Read the labelled topic itself, where no sink has written it to Parquet."""
    anew: bool = False
    """Begin at the network's own projection, though a registered model serves."""
    cache: Path | None = None
    """Where features are kept; None: `~/.cache/sightline/features`."""
    tensorboard: Path | None = None
    """A folder for TensorBoard's event files; None: none are written."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """What people did and said, and how far it was read."""

    held: HeldTriples
    judgements: tuple[Grade, ...]
    propensity: PropensityCurve | None
    pairs: ClickPairs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """All that a training learns from, and the model that it begins at."""

    labels: Labels
    pictures: Mapping[str, Picture]
    """Where each image lies, also of those that were not looked at."""
    made: Made
    source: ModelSource
    runtime: Runtime

    @property
    def groups(self) -> list[str | None]:
        """What each picture that was looked at belongs to, as its owner says."""
        return [self.pictures[image].group for image in self.made.features.images]


def run_training(
    settings: Settings, wishes: TrainWishes, say: Say, track: Track = untracked
) -> Learnt:
    """Read, look, learn and write; a repeat after a kill goes on with the same result.

    Where triples, judgements or pictures have come since, the repeat begins again with them.

    Raises:
        SettingsInvalid: the folder holds a run already, or there is nothing to train on.
        PartUnavailable: the log or the store did not answer; repeat it.
    """
    if wishes.tensorboard is not None:
        need_tensorboard()
    settings = as_serving(settings)
    with opened_store(settings) as store:
        checkpoint = begin_run(wishes.folder)
        wishes = as_before(wishes)
        found = gather(settings, store, wishes, say, track)
    labels, made = found.labels, found.made
    start = start_of(found.source, made.features)
    learning = partial(
        learn,
        labels.pairs,
        made.features,
        start,
        wishes.learning,
        labels=found.groups,
        checkpoint=checkpoint,
        track=track,
    )
    try:
        learnt = learning()
    except StaleCheckpoint:
        say("what there is to learn from has changed since the kill: it begins again")
        checkpoint.unlink()
        learnt = learning()
    if wishes.tensorboard is not None:
        write_events(wishes.tensorboard, learnt.trained.curve)
    end_run(wishes.folder, learnt, record_of(wishes, found))
    return learnt


def gather(
    settings: Settings, store: ObjectStore, wishes: TrainWishes, say: Say, track: Track
) -> Gathered:
    """Read labels and pictures up to the wishes' offsets, and look at the pictures.

    Args:
        settings: of the deployment, naming the model that serves (`as_serving`).
        store: holds labels and pictures.
        wishes: which of them.
        say: tells how far it is.
        track: shows how many pictures were looked at.

    Raises:
        SettingsInvalid: the model's files do not fit.
        PartUnavailable: the log or the store did not answer.
    """
    serving = embedder_settings(settings)
    source = network_source(settings, serving, anew=wishes.anew)
    runtime = network_runtime(source, serving)
    labels = read_labels(settings, store, wishes.until, from_topic=wishes.from_topic)
    say(f"{labels.held.table.num_rows} triples, {len(labels.pairs)} pairs")
    pictures = read_pictures(settings, labels.held)
    maker = feature_maker(settings, store, wishes.cache, source, runtime)
    made = maker.features_of(_wanted(wishes, labels.pairs, pictures), pictures, track=track)
    say(f"{len(made.features)} pictures, {made.kept} of them known")
    for reason, count in made.left_out.items():
        say(f"{count} pictures left out: {reason}")
    return Gathered(labels=labels, pictures=pictures, made=made, source=source, runtime=runtime)


def as_before(wishes: TrainWishes) -> TrainWishes:
    """Where `like` names a run: the same, reading what that run read."""
    if wishes.until is not None or wishes.like is None:
        return wishes
    record = read_record(wishes.like)
    read_topic = record.get("read_from") == TOPIC
    return replace(wishes, until=ends_of(record), from_topic=wishes.from_topic or read_topic)


def network_source(
    settings: Settings, serving: EmbedderSettings, *, anew: bool = False
) -> ModelSource:
    """The network that gives the features, with the projection that a training begins at.

    Args:
        settings: of the deployment, naming the model that serves (`as_serving`).
        serving: that model with its files (`embedder_settings`).
        anew: begin where the first training of a registered model began, at the network's own.
    """
    if anew and reference_in(settings.embedder) is not None:
        return model_source(serving.model_copy(update={"projection": None}))
    return model_source(serving)


def network_runtime(source: ModelSource, serving: EmbedderSettings) -> Runtime:
    """What runs the network of a source here, as the settings want it."""
    return open_runtime(source, serving)


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


def feature_maker(
    settings: Settings,
    store: ObjectStore,
    cache: Path | None,
    source: ModelSource,
    runtime: Runtime,
) -> FeatureMaker:
    """What looks at pictures with the network of a source, and keeps what it saw.

    Args:
        settings: bounds of what is decoded, and how many threads do.
        store: holds the pictures.
        cache: where features are kept; None: `~/.cache/sightline/features`.
        source: of the network.
        runtime: runs it.
    """
    network = _network(source).digest(precision=runtime.precision, runtime=runtime.name)
    return FeatureMaker(
        store=store,
        runtime=runtime,
        framing=source.framing,
        limits=settings.decode,
        cache=FeatureCache(cache or Path.home() / _CACHE, network),
        threads=settings.embedder.threads or len(os.sched_getaffinity(0)),
    )


def _wanted(wishes: TrainWishes, pairs: ClickPairs, pictures: Mapping[str, Picture]) -> list[str]:
    """The images of the pairs, and some others that the seed chooses."""
    others = [*(set(pictures) - set(pairs.images))]
    return [*pairs.images, *some_of(others, wishes.corpus, seed=wishes.learning.head.seed)]


def some_of(images: Sequence[str], count: int, *, seed: int) -> list[str]:
    """At most so many of some images, which the seed chooses."""
    ordered = sorted(images)
    return [ordered[at] for at in np.random.default_rng(seed).permutation(len(ordered))[:count]]


def _network(source: ModelSource) -> ModelSource:
    """The same without its projection: what the features follow from."""
    return replace(source, projection=None, projection_id=None)


def start_of(source: ModelSource, features: PictureFeatures) -> Projection:
    """The projection of a source; without one, the features themselves."""
    if source.projection is not None:
        return load_projection(source.projection)
    width = features.features.shape[1]
    return Projection(np.zeros(width, np.float32), np.eye(width, dtype=np.float32))


def ends_of(record: Mapping[str, Any]) -> Ends:
    """Up to where a training read the labelled topic, as its record tells.

    Raises:
        SettingsInvalid: the record names no offsets.
    """
    try:
        return {(at["log"], int(at["partition"])): int(at["end"]) for at in record["offsets"]}
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsInvalid(f"the record of that training names no offsets: {error}") from error


def record_of(wishes: TrainWishes, found: Gathered) -> dict[str, Any]:
    """What the head follows from: equal records mean equal heads on one machine."""
    labels, made, source, runtime = found.labels, found.made, found.source, found.runtime
    table = labels.held.table
    offsets = sorted(labels.held.ends.items())
    return {
        "topic": TRAINING_TRIPLES.name,
        "read_from": TOPIC if wishes.from_topic else PARQUET,
        "offsets": [{"log": log, "partition": at, "end": end} for (log, at), end in offsets],
        "rules_versions": sorted(table["rules_version"].unique().to_pylist()),
        "ranked_by": sorted(table["model_digest"].unique().to_pylist()),
        "propensity_version": None if labels.propensity is None else labels.propensity.version,
        "start": {
            "model": source.model,
            "weights": source.weights_id,
            "projection": source.projection_id,
            "precision": runtime.precision,
            "runtime": runtime.name,
            "digest": source.digest(precision=runtime.precision, runtime=runtime.name),
        },
        "settings": asdict(wishes.learning) | {"corpus": wishes.corpus},
        "code": code_record() | {"version": version(_PACKAGE)},
        "counted": {
            "triples": table.num_rows,
            "judgements": len(labels.judgements),
            "pairs_read": len(labels.pairs),
            "pictures_left_out": made.left_out,
        },
    }
