"""What `sightline train-backbone` does: clicks or only pictures in, a folder with a network out."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.connecting.serving_model import as_serving
from sightline.engine.embedding.capabilities import concrete_precision
from sightline.engine.embedding.model_files import ModelSource
from sightline.engine.embedding.networks import Normalised, build_network
from sightline.engine.embedding.projections import Projection
from sightline.engine.errors import SettingsInvalid
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.commands.learning.networks import network_source, start_of
from sightline.infra.commands.learning.train import (
    Gathered,
    TrainWishes,
    as_before,
    gather,
    training_record,
)
from sightline.infra.commands.opened_store import opened_store
from sightline.training.backbone.peers import Peers, device_here, peers_of, share_of_cores
from sightline.training.backbone.run_files import end_backbone_run
from sightline.training.backbone.settings import BackboneSettings
from sightline.training.backbone.training import TrainedBackbone, own_positives, train_backbone
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.datasets.splits import HeldOut
from sightline.training.datasets.stored_crops import StoredCrops
from sightline.training.loop.checkpoint import anew_where_stale
from sightline.training.loop.events import need_tensorboard, write_events
from sightline.training.loop.head import Head
from sightline.training.loop.learning import LearningSettings, hold_back
from sightline.training.loop.run_folder import HEAD, begin_run, read_record
from sightline.training.loop.settings import HeadSettings
from sightline.training.tracking import Say, Track, untracked


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneWishes:
    """What the command line asks for: how to train, where to begin and to write."""

    folder: Path
    """Where the run is written."""
    head: Path | None
    """The folder of the head's run that it begins at; None: without clicks."""
    strength: float = 1.0
    """How far that head goes where this training begins, from 0 to 1."""
    settings: BackboneSettings = field(default_factory=BackboneSettings)
    corpus: int = 2_000
    """Public pictures beside those in the pairs; without clicks, all there are to learn from."""
    cache: Path | None = None
    """Where features are kept; None: `~/.cache/sightline/features`."""
    crops_mib: int = 512
    """Mebibytes of decoded crops that each process keeps in memory."""
    tensorboard: Path | None = None
    """A folder for TensorBoard's event files; None: none are written."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Lesson:
    """Which pictures teach, by which pairs, from where."""

    pairs: ClickPairs
    """Numbered by the rows of `taught`."""
    taught: NDArray[np.int64]
    """Rows of the pictures that were looked at."""
    held_out: HeldOut | None
    """What the pictures that were looked at are, and which are kept out; None: nobody asked."""
    cut_ms: int
    """Pairs from this instant on do not teach, in milliseconds since 1970."""
    start: Projection


def run_backbone(
    settings: Settings, wishes: BackboneWishes, say: Say, track: Track = untracked
) -> TrainedBackbone:
    """Read, look, train and write; a repeat after a kill goes on, or begins again with new data.

    Under `torchrun` every process does so, and the first one writes.

    Raises:
        SettingsInvalid: the model is an ONNX file, the head has a familiarity gate, the folder
            holds a run already, or there is nothing to train on.
        PartUnavailable: the log or the store did not answer; repeat it.
    """
    if wishes.tensorboard is not None:
        need_tensorboard()
    settings, device = as_serving(settings), device_here()
    with peers_of(device) as peers, opened_store(settings) as store:
        tell, shown = (say, track) if peers.rank == 0 else (_hush, untracked)
        checkpoint = begin_run(wishes.folder)
        asked = _asked(settings, wishes)
        found = gather(settings, store, asked, tell, shown)
        lesson = _lesson(wishes, asked, found)
        tell(f"{len(lesson.taught)} pictures and {len(lesson.pairs)} pairs teach, on {device}")
        training = partial(
            train_backbone,
            _network(found.source),
            lesson.start,
            lesson.pairs,
            _crops(settings, store, found, lesson, kept_mib=wishes.crops_mib),
            wishes.settings,
            size=found.source.framing.size,
            checkpoint=checkpoint,
            peers=peers,
            device=device,
            track=shown,
        )
        with share_of_cores(peers, device):
            trained = anew_where_stale(checkpoint, training, tell)
        if peers.rank == 0:
            record = _record(wishes, asked, found, peers)
            record["counted"]["later_from_ms"] = lesson.cut_ms
            looked = found.made.features.images
            if wishes.tensorboard is not None:
                write_events(wishes.tensorboard, trained.curve)
            end_backbone_run(wishes.folder, trained, looked, lesson.held_out, record)
    return trained


def _hush(_: str) -> None:
    """Say nothing, since the first process speaks for all of them."""


def _network(source: ModelSource) -> Normalised:
    if source.encoder is not None:
        raise SettingsInvalid(
            "an ONNX file stays as it is: train a head on it, or name a network of torchvision"
        )
    return build_network(source.model, source.weights, source.normalisation)


def _crops(
    settings: Settings, store: ObjectStore, found: Gathered, lesson: _Lesson, *, kept_mib: int
) -> StoredCrops:
    looked = found.made.features
    return StoredCrops(
        store=store,
        pictures=[found.pictures[looked.images[row]] for row in lesson.taught],
        hashes=tuple(looked.hashes[row] for row in lesson.taught),
        framing=found.source.framing,
        limits=settings.decode,
        threads=settings.embedder.threads or len(os.sched_getaffinity(0)),
        kept_bytes=kept_mib * 2**20,
    )


def concrete(precision: str) -> Literal["fp32", "bf16"]:
    """`auto` made concrete: bf16 where this machine computes in it, else fp32.

    Raises:
        SettingsInvalid: bf16 is asked for where nothing computes in it.
    """
    found = concrete_precision(precision, "cuda" if device_here().type == "cuda" else "torch-eager")
    return "bf16" if found == "bf16" else "fp32"


def _asked(settings: Settings, wishes: BackboneWishes) -> TrainWishes:
    """What the head's training read and held back, so that this one sees no more."""
    asked = TrainWishes(
        folder=wishes.folder,
        learning=LearningSettings(head=HeadSettings(seed=wishes.settings.seed)),
        corpus=wishes.corpus,
        cache=wishes.cache,
    )
    if wishes.head is None:
        return asked
    record = read_record(wishes.head)
    if Head.load(wishes.head / HEAD).gate is not None:
        raise SettingsInvalid(
            f"{wishes.head} has a familiarity gate, and a network ends in one matrix: train the "
            "head without --familiarity-gate"
        )
    try:
        told, start = record["settings"], record["start"]
        learning = LearningSettings(
            head=HeadSettings(seed=told["head"]["seed"]),
            held_out=told["held_out"],
            aside=told["aside"],
            later=told["later"],
        )
        anew = _began_anew(settings, start["weights"], start["projection"])
    except (KeyError, TypeError) as error:
        raise SettingsInvalid(f"{wishes.head} is no run of `sightline train`") from error
    return as_before(replace(asked, learning=learning, like=wishes.head, anew=anew))


def _began_anew(settings: Settings, weights: str, projection: str | None) -> bool:
    """Whether the head began at the network's own projection, not at the model that serves.

    Raises:
        SettingsInvalid: it began at neither, so that other kinds would be held out than there.
    """
    serving = embedder_settings(settings)
    for anew in (False, True):
        source = network_source(settings, serving, anew=anew)
        if (source.weights_id, source.projection_id) == (weights, projection):
            return anew
    raise SettingsInvalid(
        "that head was trained on another model than the one that serves: name it in embedder.model"
    )


def _lesson(wishes: BackboneWishes, asked: TrainWishes, found: Gathered) -> _Lesson:
    looked = found.made.features
    start, every = start_of(found.source, looked), np.arange(len(looked))
    if wishes.head is None:
        if not len(looked):
            raise SettingsInvalid("there is nothing to train on: no public picture can be read")
        own = own_positives(looked.images)
        return _Lesson(pairs=own, taught=every, held_out=None, cut_ms=0, start=start)
    kept = hold_back(found.labels.pairs, looked, start, asked.learning, found.groups)
    taught = every[kept.held_out.teaches]
    pairs = kept.pairs.chosen(kept.trained_on).among([looked.images[row] for row in taught])
    if not len(pairs):
        raise SettingsInvalid("there is nothing to train on: no pair of which both pictures exist")
    head = Head.load(wishes.head / HEAD).ungated(wishes.strength)
    return _Lesson(
        pairs=pairs,
        taught=taught,
        held_out=kept.held_out,
        cut_ms=kept.time.cut_ms,
        start=head,
    )


def _record(
    wishes: BackboneWishes, asked: TrainWishes, found: Gathered, peers: Peers
) -> dict[str, Any]:
    record = training_record(asked, found)
    backbone = asdict(wishes.settings) | {"processes": peers.count, "strength": wishes.strength}
    told = {"backbone": backbone, "head": None if wishes.head is None else str(wishes.head)}
    return record | {"settings": record["settings"] | told}
