"""A candidate in, the files of the registry's entry for it out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import save

from sightline.engine.embedding.model_registry import CARD, LINEAGE, METRICS, PROJECTION
from sightline.engine.errors import SettingsInvalid
from sightline.engine.pictures.prepare import preprocess_digest
from sightline.training.models.candidates import Candidate
from sightline.training.models.registry import NewModel

Facts = Mapping[str, Any]


def registered(
    candidate: Candidate, name: str, *, metrics: Facts, lineage: Facts, card: str | None = None
) -> NewModel:
    """The model as the registry keeps it; equal arguments give equal bytes.

    Args:
        candidate: a projection over a network whose weights a package brings.
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
    tensors = {"mean": projection.mean, "matrix": np.ascontiguousarray(projection.matrix)}
    written = card or _card(candidate, name, metrics)
    return NewModel(
        name=name,
        network=source.model,
        network_weights=source.weights_id,
        preprocess=preprocess_digest(source.input_size),
        dimensions=projection.matrix.shape[1],
        files={
            PROJECTION: save(tensors),
            CARD: written.encode(),
            METRICS: _json(metrics),
            LINEAGE: _json(lineage),
        },
    )


def _json(facts: Facts) -> bytes:
    return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()


def _card(candidate: Candidate, name: str, metrics: Facts) -> str:
    source = candidate.source
    told = [f"- {key}: {value}" for key, value in sorted(metrics.items())] or ["- nothing yet"]
    over = f"A projection over `{source.model}` (weights {source.weights_id})"
    lines = (
        f"# Model card: `{name}`",
        "",
        f"{over}, {source.input_size} pixels, compared by cosine. Made from: `lineage.json`.",
        "",
        "## Measured",
        "",
        *told,
    )
    return "\n".join(lines) + "\n"
