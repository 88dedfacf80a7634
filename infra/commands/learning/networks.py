"""A model in; its network, what looks at pictures with it, and where a training begins out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from sightline.engine.embedding.choice import open_runtime
from sightline.engine.embedding.embedder import Runtime
from sightline.engine.embedding.model_files import ModelSource, model_source
from sightline.engine.embedding.projections import Projection, load_projection
from sightline.engine.embedding.registered_models import reference_in
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import EmbedderSettings, Settings
from sightline.training.datasets.feature_cache import FeatureCache
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.picture_features import FeatureMaker

_CACHE = Path(".cache", "sightline", "features")


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


def start_of(source: ModelSource, features: PictureFeatures) -> Projection:
    """The projection of a source; without one, the features themselves.

    Of one with a familiarity gate, the old space, in which alone the gate is understood: clicks
    teach the rest anew.
    """
    if source.projection is not None:
        found = load_projection(source.projection)
        return found if isinstance(found, Projection) else Projection(found.mean, found.gate.old)
    width = features.features.shape[1]
    return Projection(np.zeros(width, np.float32), np.eye(width, dtype=np.float32))


def _network(source: ModelSource) -> ModelSource:
    """The same without its projection: what the features follow from."""
    return replace(source, projection=None, projection_id=None)
