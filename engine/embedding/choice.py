"""Embedder settings in, the fastest embedder that this machine can run out."""

# ruff: noqa: PLC0415 - a process imports only the framework that it runs

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path

from sightline.engine.embedding.capabilities import (
    concrete_precision,
    fastest_runtime,
    need_runtime,
)
from sightline.engine.embedding.embedder import ProjectingEmbedder, Runtime
from sightline.engine.embedding.model_files import ModelSource, model_source
from sightline.engine.embedding.projections import AnyProjection, load_projection
from sightline.engine.errors import SettingsInvalid, SightlineError
from sightline.engine.settings import EmbedderSettings

_CACHE = Path(".cache", "sightline", "networks")
_SAID = 300
"""Characters of what a framework said: the end tells what it met."""


@dataclass(frozen=True, slots=True)
class ModelHead:
    """What a model makes of features, and what its embedder would say of itself here."""

    digest: str
    features_digest: str
    projection: AnyProjection | None


def read_head(settings: EmbedderSettings) -> ModelHead:
    """A model's head, without its network: what `open_embedder` would give has the same digests.

    Raises:
        SettingsInvalid: as `open_embedder`.
    """
    source = model_source(settings)
    runtime = _runtime_for(source, settings)
    need_runtime(runtime)
    precision = concrete_precision(settings.precision, runtime)
    return ModelHead(
        digest=source.digest(precision=precision, runtime=runtime),
        features_digest=source.features_digest(precision=precision, runtime=runtime),
        projection=None if source.projection is None else load_projection(source.projection),
    )


def open_embedder(
    settings: EmbedderSettings,
    *,
    cache: Path | None = None,
    networks: MutableMapping[str, Runtime] | None = None,
) -> ProjectingEmbedder:
    """Load a model; safe to use from several threads, one core each.

    Args:
        settings: model, precision, runtime and threads.
        cache: where converted networks are kept; none: `~/.cache/sightline`.
        networks: what runs already, by what it runs; a model with another projection shares it.

    Raises:
        SettingsInvalid: unknown model, files that do not fit, or a precision or runtime that this
            machine does not have.
        RefusedToStart: torchvision's weights cannot be downloaded here.
    """
    try:
        return _opened(settings, cache, {} if networks is None else networks)
    except SightlineError:
        raise
    except Exception as error:
        # A framework raises whatever a file makes it: a refusal must end no process that has
        # another model to go on with.
        said = " ".join(str(error).split())[-_SAID:]
        raise SettingsInvalid(
            f"embedder.model: {settings.model} cannot be run here: {type(error).__name__}: {said}"
        ) from error


def _opened(
    settings: EmbedderSettings, cache: Path | None, networks: MutableMapping[str, Runtime]
) -> ProjectingEmbedder:
    source = model_source(settings)
    projection = None if source.projection is None else load_projection(source.projection)
    network = replace(source, projection=None, projection_id=None)
    key = network.digest(precision=settings.precision, runtime=settings.runtime)
    runtime = networks.get(key) or open_runtime(source, settings, cache=cache)
    networks[key] = runtime
    return ProjectingEmbedder(source, runtime, projection)


def _runtime_for(source: ModelSource, settings: EmbedderSettings) -> str:
    if source.encoder is not None and settings.runtime not in {"auto", "openvino"}:
        raise SettingsInvalid(
            f"embedder.runtime: an ONNX file is run by openvino, not by {settings.runtime}; "
            "set it to auto"
        )
    if source.encoder is not None:
        return "openvino"
    return fastest_runtime() if settings.runtime == "auto" else settings.runtime


def open_runtime(
    source: ModelSource, settings: EmbedderSettings, *, cache: Path | None = None
) -> Runtime:
    """What gives a model's pooled features here; arguments and errors as `open_embedder`."""
    runtime = _runtime_for(source, settings)
    need_runtime(runtime)
    precision = concrete_precision(settings.precision, runtime)
    if runtime == "openvino":
        from sightline.engine.embedding.openvino_runtime import open_openvino

        return open_openvino(
            source,
            precision=precision,
            threads=settings.threads or len(os.sched_getaffinity(0)),
            cache=cache or Path.home() / _CACHE,
        )
    from sightline.engine.embedding.torch_runtime import open_torch

    return open_torch(source, precision=precision, runtime=runtime)
