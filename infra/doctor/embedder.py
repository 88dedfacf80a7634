"""The embedder: can this machine run the model, and is the index made by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from sightline.engine.connecting.connections import connect_object_store, object_directory
from sightline.engine.errors import SightlineError
from sightline.engine.serving.record import ServingRecord
from sightline.engine.settings import Settings
from sightline.infra.doctor.findings import Finding, bad, fine
from sightline.infra.doctor.index import serving

if TYPE_CHECKING:
    from sightline.engine.ports import Embedder

PART = "embedder"


def check_embedder(settings: Settings) -> Iterator[Finding]:
    """Load what serves once: seconds, but the only way to know."""
    try:
        from sightline.engine.connecting.released_model import (  # noqa: PLC0415 - an extra
            embedder_settings,
            naming,
        )
        from sightline.engine.connecting.serving_model import (  # noqa: PLC0415 - an extra
            as_indexed,
        )
        from sightline.engine.embedding.choice import open_embedder  # noqa: PLC0415 - an extra
    except ImportError as error:
        told = f"not installed ({error.name}): enough to publish, not to run a worker or the API"
        yield fine(PART, f"{told} (pip install 'sightline-search[embedded]')")
        return
    serves = _recorded_model(settings)
    settings = settings if serves is None else naming(settings, serves)
    try:
        settings = as_indexed(settings)
    except SightlineError as error:
        yield bad(PART, f"what serves cannot be told: {error}", "mend the store first")
        return
    try:
        embedder = open_embedder(embedder_settings(settings))
    except (SightlineError, OSError, ValueError) as error:
        remedy = "correct embedder.model, embedder.weights or embedder.runtime"
        yield bad(PART, f"{settings.embedder.model}: {error}", remedy)
        return
    told = f"{settings.embedder.model} on {embedder.runtime}, {embedder.dimensions} dimensions"
    yield fine(PART, told)
    if settings.index.url is None:
        yield from _same_space(settings, embedder)


def _recorded_model(settings: Settings) -> str | None:
    """`NAME@DIGEST` of what made the generation that serves.

    None: the model that the settings name did; or the store does not tell, which is a finding
    of its own.
    """
    directory = object_directory(settings)
    if directory is not None and not (directory / settings.store.bucket).is_dir():
        return None
    index = settings.index.collection_prefix
    try:
        with closing(connect_object_store(settings)) as store:
            found = ServingRecord(store, settings.store.bucket, index).find()
    except SightlineError:
        return None
    return None if found is None else found.state.serving.model


def _same_space(settings: Settings, embedder: Embedder) -> Iterator[Finding]:
    spec = serving(settings.index_directory)
    if spec is None:
        return
    if spec.get("model_digest") != embedder.digest:
        remedy = "go back to the settings that made it, or replay into another index directory"
        told = f"the index was made by {spec.get('model_digest')}, not {embedder.digest}"
        yield bad("generation", told, remedy)
        return
    yield fine("generation", "made by this model")
