"""A trained model's files in, an entry of the registry and a release out; each is written once.

The order makes a crash harmless: files first, then the config, which makes them a model, then the
release, which makes it the newest, then the event. Whatever was interrupted is done again with the
same result: equal content has equal names, and a release is published under an id that its number
gives (docs/adr/0023).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sightline.engine.embedding.model_registry import (
    CARD,
    CONFIG,
    LINEAGE,
    METRICS,
    ModelConfig,
    ModelRegistry,
    StoredFile,
    digest_of,
    encoded,
    model_key,
    release_key,
)
from sightline.engine.errors import Conflict, Unreadable
from sightline.engine.ports import EventProducer, ObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.stored_records import stored_bytes
from sightline.schemas.envelope import Event
from sightline.schemas.models import GateLine, ModelReleased
from sightline.schemas.topics import MODELS

REQUIRED = (CARD, METRICS, LINEAGE)
SOURCE = "urn:sightline:training"
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class NewModel:
    """A model that is to be registered; what the fields mean is told at `ModelConfig`."""

    name: str
    network: str
    network_weights: str
    preprocess: str
    dimensions: int
    format: Literal[1, 2] = 1
    files: Mapping[str, bytes]
    """By name: the projection, own weights if there are any, card, metrics and lineage."""

    def config(self) -> ModelConfig:
        """The config that names these files.

        Raises:
            ValueError: card, metrics or lineage is missing, or a name is none of a file.
        """
        missing = [file for file in REQUIRED if file not in self.files]
        if missing:
            raise ValueError(f"a model is registered with its {', '.join(missing)}")
        return ModelConfig(
            format=self.format,
            name=self.name,
            network=self.network,
            network_weights=self.network_weights,
            preprocess=self.preprocess,
            dimensions=self.dimensions,
            files={
                file: StoredFile(sha256=digest_of(data), size_bytes=len(data))
                for file, data in sorted(self.files.items())
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why a model is released, as its event tells."""

    against: str | None
    """The digest that it was compared with; None: none of the registry."""
    gate: tuple[GateLine, ...]
    """What the gate said; empty where a person decided."""


def store_model(store: ObjectStore, bucket: str, model: NewModel) -> str:
    """Register a model, and tell its digest; the same model again changes nothing.

    Raises:
        Unreadable: the bucket holds other bytes under these names: it was tampered with.
        PartUnavailable: the store did not answer; a repeat is safe.
    """
    config = encoded(model.config())
    digest = digest_of(config)
    for file, data in {**model.files, CONFIG: config}.items():
        _write_once(store, bucket, model_key(model.name, digest, file), data)
    return digest


def release(
    store: ObjectStore, bucket: str, name: str, digest: str, reasons: Reasons, *, now: datetime
) -> Event[ModelReleased]:
    """Make a registered model the newest of its name, and tell the event that says so.

    A model that is the newest already stays so: the event of then is told again.

    Raises:
        NotFound: no such model is registered.
        Conflict: others kept releasing models of this name.
        PartUnavailable: the store did not answer; a repeat is safe.
    """
    registry = ModelRegistry(store, bucket)
    registry.config(name, digest)
    for _ in range(_ATTEMPTS):
        before = registry.releases(name)
        if before and before[-1].data.digest == digest:
            return before[-1]
        event = _released(name, digest, reasons, len(before) + 1, now)
        key = release_key(name, event.data.number)
        try:
            store.put_if(bucket, key, event.encode(), expected_etag=None)
        except Conflict:
            continue
        return event
    raise Conflict(f"models of the name {name} are being released by others: repeat it")


def publish(producer: EventProducer, event: Event[ModelReleased], *, timeout_s: float) -> None:
    """Tell the log of a release; of a repeat readers count the id once.

    Raises:
        PartUnavailable: it was not acknowledged in time.
    """
    producer.append(ProducerRecord(MODELS.name, event.data.name, event.encode()))
    producer.flush(timeout_s)


def _released(
    name: str, digest: str, reasons: Reasons, number: int, now: datetime
) -> Event[ModelReleased]:
    data = ModelReleased(
        name=name,
        number=number,
        digest=digest,
        released_at=now,
        against=reasons.against,
        gate=reasons.gate,
    )
    event_id = f"released-{name}-{number}"
    return Event[ModelReleased].of(data, event_id=event_id, source=SOURCE, time=now)


def _write_once(store: ObjectStore, bucket: str, key: str, data: bytes) -> None:
    try:
        store.put_if(bucket, key, data, expected_etag=None)
    except Conflict as error:
        if not _holds(store, bucket, key, data):
            raise Unreadable(f"{key} is damaged: remove it and register again") from error


def _holds(store: ObjectStore, bucket: str, key: str, data: bytes) -> bool:
    try:
        return stored_bytes(store, bucket, key, max_bytes=len(data)) == data
    except Unreadable:
        return False
