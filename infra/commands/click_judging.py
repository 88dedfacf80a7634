"""The folder of a training run in, what the gate says of it by clicks that it did not see out.

For deployments without labelled photos. What a run kept out is taken from its own record: kinds are
numbered anew in each data set, and a kind that taught must not judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.embedding.embedder import Runtime
from sightline.engine.embedding.model_files import ModelSource
from sightline.engine.errors import SettingsInvalid
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.commands import train
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.look_alikes import hash_words, look_alike_groups
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.datasets.splits import cut_by_time, held_out
from sightline.training.evaluation.click_truth import (
    PictureQueries,
    clicks_as_truth,
    score_by_clicks,
)
from sightline.training.evaluation.gate import GateDecision, GateLimits, decide
from sightline.training.evaluation.retrieval import QueryScores
from sightline.training.evaluation.served import ServedAsBuilt, compare_served
from sightline.training.evaluation.strength import (
    CAREFUL,
    STRENGTHS,
    can_choose,
    choose,
    evidence,
)
from sightline.training.loop.head import Head
from sightline.training.loop.run_folder import HEAD, PictureKind, read_kinds, read_record
from sightline.training.models.candidates import Candidate, of_settings
from sightline.training.models.released_head import Crops, vectors_as_served

SERVED_PICTURES = 200
"""On so many pictures the model as served is compared with the model as trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedByClicks:
    """A trained head with the gate's word on it."""

    model: Candidate
    """At the strength that was decided on."""
    strength: float
    decision: GateDecision
    metrics: Mapping[str, float]
    """Every measure of it, over the clicks that it did not see."""
    taken_back: int
    """Triples that taught it, and were taken back since."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Unseen:
    """Everything that judges: pictures, and the clicks on them that training did not see."""

    source: ModelSource
    runtime: Runtime
    features: PictureFeatures
    crops: Callable[[Sequence[str]], Mapping[str, Crops]]
    """What the network sees of some of the pictures."""
    queries: PictureQueries
    taken_back: int

    def scores(self, model: Candidate) -> QueryScores:
        """Searches among all pictures for every query, under a model."""
        projection = model.projection or train.start_of(model.source, self.features)
        return score_by_clicks(self.features, projection, self.queries)

    def as_served(self, model: Candidate) -> ServedAsBuilt:
        """The model written to its file, read again and run as the API runs it."""
        crops = self.crops(self.features.images[:SERVED_PICTURES])
        rows = self.features.lookup(list(crops))
        size = self.source.framing.size
        shown = np.stack([*crops.values()]) if crops else np.empty((0, size, size, 3), np.uint8)
        served = vectors_as_served(model, self.runtime, shown)
        return compare_served(model.vectors(self.features.features[rows]), served)


def judge_by_clicks(
    settings: Settings,
    store: ObjectStore,
    folder: Path,
    *,
    limits: GateLimits,
    cache: Path | None = None,
) -> JudgedByClicks:
    """Compare a run's head with the model that serves, on the clicks that the run kept out.

    Args:
        settings: of the deployment; the model that they name is what serves.
        store: with triples and pictures.
        folder: of a run that ended.
        limits: of the gate.
        cache: of features; none: `~/.cache/sightline/features`.

    Raises:
        SettingsInvalid: the folder holds no run, or one on another network.
        PartUnavailable: broker or store did not answer; repeat it.
    """
    unseen, head = _unseen(settings, store, folder, cache), Head.load(folder / HEAD)
    groups = unseen.queries.groups
    strengths = STRENGTHS if can_choose(groups, limits) else (CAREFUL,)
    models = {
        each: Candidate(f"{folder.name} at strength {each:g}", unseen.source, head.projection(each))
        for each in strengths
    }
    before = unseen.scores(of_settings("serving", embedder_settings(settings)))
    after = {each: unseen.scores(model) for each, model in models.items()}
    chosen = choose(before, after, groups, limits)
    model, scores = models[chosen.strength], after[chosen.strength]
    found = evidence(before, scores, groups, unseen.as_served(model), among=chosen.deciding)
    return JudgedByClicks(
        model=model,
        strength=chosen.strength,
        decision=decide(found, limits),
        metrics=scores.means(),
        taken_back=unseen.taken_back,
    )


def _unseen(settings: Settings, store: ObjectStore, folder: Path, cache: Path | None) -> _Unseen:
    record, kinds = read_record(folder), read_kinds(folder)
    serving = embedder_settings(settings)
    source = train.network_source(settings, serving)
    if record["start"]["weights"] != source.weights_id:
        raise SettingsInvalid(f"{folder} was trained on another network: train anew")
    labels = train.read_labels(settings, store, train.ends_of(record))
    pictures = train.read_pictures(settings, labels.held)
    runtime = train.network_runtime(source, serving)
    maker = train.feature_maker(settings, store, cache, source, runtime)
    features = maker.features_of(list(kinds), pictures).features
    return _Unseen(
        source=source,
        runtime=runtime,
        features=features,
        crops=partial(maker.crops_of, pictures=pictures),
        queries=unseen_clicks(labels.pairs.among(features.images), features, record, kinds),
        taken_back=record["counted"]["triples"] - labels.held.table.num_rows,
    )


def unseen_clicks(
    pairs: ClickPairs,
    features: PictureFeatures,
    record: Mapping[str, Any],
    kinds: Mapping[str, PictureKind],
) -> PictureQueries:
    """The clicks on kinds that the run held out, and those by anchors that came after its last.

    Args:
        pairs: numbered by the pictures.
        features: of pictures that the run knew.
        record: of the run.
        kinds: of its pictures.
    """
    shown = [kinds[image] for image in features.images]
    clusters = np.asarray([kind.cluster for kind in shown], np.int64)
    held = held_out(pairs, clusters, np.asarray([kind.held_out for kind in shown], bool))
    if not len(pairs):
        return clicks_as_truth(pairs, held, np.zeros(0, bool))
    bits = record["settings"]["head"]["near_duplicate_bits"]
    groups = look_alike_groups(hash_words(features.hashes), bits=bits)
    time = cut_by_time(pairs, groups, cut_ms=learnt_until_ms(record))
    return clicks_as_truth(pairs, held, time.later)


def learnt_until_ms(record: Mapping[str, Any]) -> int:
    """The instant from which on nothing taught a run, in milliseconds since 1970."""
    newest_taught = not record["settings"]["later"]
    return int(record["counted"]["later_from_ms"]) + newest_taught
