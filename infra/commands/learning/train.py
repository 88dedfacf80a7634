"""What `sightline train` does: label data, pictures and settings in, a folder with a head out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.connecting.serving_model import as_serving
from sightline.engine.embedding.embedder import Runtime
from sightline.engine.embedding.model_files import ModelSource
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.commands.extent import (
    Extent,
    extent_of,
    judgements_record,
    unlike,
)
from sightline.infra.commands.learning.networks import (
    feature_maker,
    network_runtime,
    network_source,
    start_of,
)
from sightline.infra.commands.learning.training_data import (
    EVERYTHING,
    Labels,
    read_labels,
    read_pictures,
    some_of,
)
from sightline.infra.commands.opened_store import opened_store
from sightline.infra.commands.taken_back import PARQUET, TOPIC
from sightline.schemas.topics import TRAINING_TRIPLES
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.datasets.picture_features import Made
from sightline.training.datasets.pictures import Picture
from sightline.training.loop.checkpoint import anew_where_stale
from sightline.training.loop.code import code_record
from sightline.training.loop.events import need_tensorboard, write_events
from sightline.training.loop.learning import LearningSettings, Learnt, learn
from sightline.training.loop.run_folder import begin_run, end_run, read_record
from sightline.training.tracking import Say, Track, untracked

_PACKAGE = "sightline-search"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainWishes:
    """What the command line asks for: how to train, where to write."""

    folder: Path
    """Where the run is written."""
    learning: LearningSettings = field(default_factory=LearningSettings)
    corpus: int = 2_000
    """Public pictures beside those in the pairs, as random negatives."""
    like: Path | None = None
    """The folder of an earlier run: read no further than it did."""
    until: Extent = EVERYTHING
    """How far to read triples and judgements, by which curve; where it is all, as `like` says."""
    from_topic: bool = False
    """Read the labelled topic itself, where no sink has written it to Parquet."""
    anew: bool = False
    """Begin at the network's own projection, though a registered model serves."""
    cache: Path | None = None
    """Where features are kept; None: `~/.cache/sightline/features`."""
    tensorboard: Path | None = None
    """A folder for TensorBoard's event files; None: none are written."""


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
    learnt = anew_where_stale(checkpoint, learning, say)
    if wishes.tensorboard is not None:
        write_events(wishes.tensorboard, learnt.trained.curve)
    end_run(wishes.folder, learnt, training_record(wishes, found))
    return learnt


def gather(
    settings: Settings, store: ObjectStore, wishes: TrainWishes, say: Say, track: Track
) -> Gathered:
    """Read labels as far as the wishes say, and pictures, and look at these.

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
    if wishes.like is not None:
        before = read_record(wishes.like)
        for told in unlike(before, labels.held.table.num_rows, labels.judgements):
            say(f"{wishes.like}: {told}")
    pictures = read_pictures(settings, labels.held)
    maker = feature_maker(settings, store, wishes.cache, source, runtime)
    made = maker.features_of(_wanted(wishes, labels.pairs, pictures), pictures, track=track)
    say(f"{len(made.features)} pictures, {made.kept} of them known")
    for reason, count in made.left_out.items():
        say(f"{count} pictures left out: {reason}")
    return Gathered(labels=labels, pictures=pictures, made=made, source=source, runtime=runtime)


def as_before(wishes: TrainWishes) -> TrainWishes:
    """Where `like` names a run: the same, reading what that run read."""
    if wishes.until != EVERYTHING or wishes.like is None:
        return wishes
    record = read_record(wishes.like)
    read_topic = record.get("read_from") == TOPIC
    return replace(wishes, until=extent_of(record), from_topic=wishes.from_topic or read_topic)


def _wanted(wishes: TrainWishes, pairs: ClickPairs, pictures: Mapping[str, Picture]) -> list[str]:
    """The images of the pairs, and some others that the seed chooses."""
    others = [*(set(pictures) - set(pairs.images))]
    return [*pairs.images, *some_of(others, wishes.corpus, seed=wishes.learning.head.seed)]


def training_record(wishes: TrainWishes, found: Gathered) -> dict[str, Any]:
    """What the head follows from: equal records and pictures mean equal heads on one machine."""
    labels, made, source, runtime = found.labels, found.made, found.source, found.runtime
    table = labels.held.table
    offsets = sorted(labels.held.ends.items())
    return {
        "topic": TRAINING_TRIPLES.name,
        "read_from": TOPIC if wishes.from_topic else PARQUET,
        "offsets": [{"log": log, "partition": at, "end": end} for (log, at), end in offsets],
        "rules_versions": sorted(table["rules_version"].unique().to_pylist()),
        "ranked_by": sorted(table["model_digest"].unique().to_pylist()),
        "judgements": judgements_record(labels.judgements),
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
