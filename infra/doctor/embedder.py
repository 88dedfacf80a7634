"""The embedder: can this machine run the model, and is the index made by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from sightline.engine.errors import SightlineError
from sightline.engine.ports import Embedder
from sightline.engine.settings import Settings
from sightline.infra.doctor.findings import Finding, bad, fine
from sightline.infra.doctor.index import serving

PART = "embedder"


def check_embedder(settings: Settings) -> Iterator[Finding]:
    """Load what serves once: seconds, but the only way to know."""
    try:
        from sightline.engine.connecting.released_model import (  # noqa: PLC0415 - an extra
            embedder_settings,
        )
        from sightline.engine.connecting.serving_model import (  # noqa: PLC0415 - an extra
            as_indexed,
        )
        from sightline.engine.embedding.choice import open_embedder  # noqa: PLC0415 - an extra
    except ImportError as error:
        told = f"not installed ({error.name}): enough to publish, not to run a worker or the API"
        yield fine(PART, f"{told} (pip install 'sightline-search[embedded]')")
        return
    with suppress(SightlineError):  # that the store does not tell is a finding of its own
        settings = as_indexed(settings)
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
