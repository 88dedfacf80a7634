"""Models in a registry that nothing can run: what is told of one, without a network's files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sightline.engine.ports import ObjectStore
from sightline.schemas.models import GateLine
from sightline.training.models.registry import NewModel, Reasons, release, store_model

NAME = "shop"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GATE = (GateLine(rule="better where clicked", outcome="passed", says="+.1"),)
LINEAGE = {"run": {"counted": {"triples": 90, "pairs": 40, "steps": 7}}, "strength": 0.35}


def released(
    store: ObjectStore, bucket: str, metrics: Mapping[str, object], *, against: str | None = None
) -> str:
    """Register and release a model that 90 triples taught; its digest."""
    files = {"metrics.json": metrics, "lineage.json": LINEAGE, "card.md": {}}
    new = NewModel(
        name=NAME,
        network="n",
        network_weights="w",
        preprocess="p",
        dimensions=8,
        files={name: json.dumps(document).encode() for name, document in files.items()},
    )
    digest = store_model(store, bucket, new)
    release(store, bucket, NAME, digest, Reasons(against=against, gate=GATE), now=NOON)
    return digest
