"""A candidate in, its files for the registry and its vectors as they would be served out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.engine.embedding.embedder import ProjectingEmbedder, Runtime
from sightline.engine.embedding.encoder_card import card_file, read_card
from sightline.engine.embedding.model_files import ModelSource, model_source
from sightline.engine.embedding.model_registry import (
    CARD,
    ENCODER,
    ENCODER_CARD,
    LINEAGE,
    METRICS,
    PROJECTION,
    WEIGHTS,
    digest_of,
)
from sightline.engine.embedding.projections import (
    Features,
    GatedProjection,
    load_projection,
    projection_bytes,
)
from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import EmbedderSettings
from sightline.training.models.candidates import Candidate
from sightline.training.models.registry import NewModel

Facts = Mapping[str, Any]
Crops = NDArray[np.uint8]


def registered(
    candidate: Candidate, name: str, *, metrics: Facts, lineage: Facts, card: str | None = None
) -> NewModel:
    """The model as the registry keeps it; equal arguments give equal bytes.

    Args:
        candidate: a projection over a network.
        name: what it is registered as.
        metrics: what was measured, for `metrics.json`.
        lineage: what it was made from, for `lineage.json`.
        card: Markdown for people; none: the facts alone.

    Raises:
        SettingsInvalid: the candidate has no projection, so that there is nothing to register.
    """
    projection, source = candidate.projection, candidate.source
    if projection is None:
        raise SettingsInvalid(f"{candidate.name} has no projection: there is nothing to register")
    written = card or _card(candidate, name, metrics)
    return NewModel(
        name=name,
        network=source.model,
        network_weights=source.weights_id,
        preprocess=source.framing.digest,
        dimensions=projection.dimensions,
        format=2 if isinstance(projection, GatedProjection) else 1,
        files={
            **_own_network(source),
            PROJECTION: projection_bytes(projection),
            CARD: written.encode(),
            METRICS: _json(metrics),
            LINEAGE: _json(lineage),
        },
    )


def _own_network(source: ModelSource) -> dict[str, bytes]:
    """The network's weights, unless every installation has them anyway; an ONNX file's card, too.

    Raises:
        SettingsInvalid: the ONNX file or its card has changed since it was loaded.
    """
    if source.encoder is not None and source.weights is not None:
        files = {ENCODER: source.weights, ENCODER_CARD: card_file(source.weights)}
        read = {name: file.read_bytes() for name, file in files.items()}
        now = (digest_of(read[ENCODER]), read_card(source.weights))
        if now != (source.weights_id, source.encoder):
            raise SettingsInvalid(f"{source.weights} or its card has changed meanwhile: repeat it")
        return read
    packaged = model_source(EmbedderSettings(model=source.model))
    if source.weights is None or source.weights_id == packaged.weights_id:
        return {}
    return {WEIGHTS: source.weights.read_bytes()}


def vectors_as_served(candidate: Candidate, runtime: Runtime, crops: Crops) -> Features:
    """The model written to its file, read again, and run as worker and API run it.

    Args:
        candidate: what would be released.
        runtime: of its network.
        crops: uint8 (n, size, size, 3).

    Returns:
        float32 (n, dimensions), each row of L2 norm 1.
    """
    loaded = candidate.projection
    if loaded is not None:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / PROJECTION
            file.write_bytes(projection_bytes(loaded))
            loaded = load_projection(file)
    return ProjectingEmbedder(candidate.source, runtime, loaded).embed(crops)


def _json(facts: Facts) -> bytes:
    return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()


def _card(candidate: Candidate, name: str, metrics: Facts) -> str:
    source = candidate.source
    told = [f"- {key}: {value}" for key, value in sorted(metrics.items())] or ["- nothing yet"]
    gated = isinstance(candidate.projection, GatedProjection)
    what = "A projection behind a familiarity gate," if gated else "A projection"
    over = f"{what} over `{source.model}` (weights {source.weights_id})"
    lines = (
        f"# Model card: `{name}`",
        "",
        f"{over}, {source.framing.size} pixels, compared by cosine. Made from: `lineage.json`.",
        "",
        "## Measured",
        "",
        *told,
    )
    return "\n".join(lines) + "\n"
