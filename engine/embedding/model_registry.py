"""The models in our bucket, read: names, releases, configurations and files, each checked.

::

    models/<name>/releases/<number>.json   a release, as its event; the highest number is the newest
    models/<name>/<digest>/config.json     what the model is; its SHA-256 is the digest
    models/<name>/<digest>/<file>          the files that the config names, with the SHA-256 of each

Everything is written once (`training/models/registry.py`) and named by its content, so that whoever
names a digest gets those bytes or an error, whatever happened to the bucket (docs/adr/0023).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError

from sightline.engine.errors import (
    NotFound,
    ObjectMissing,
    SettingsInvalid,
    Unreadable,
)
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.fields import Contract, Sha256
from sightline.schemas.models import ModelName, ModelReleased
from sightline.schemas.registry import decode

PREFIX = "models/"
SCHEME = "registry:"
CONFIG, PROJECTION, WEIGHTS = "config.json", "projection.safetensors", "weights.safetensors"
ENCODER, ENCODER_CARD = "encoder.onnx", "encoder.toml"
CARD, METRICS, LINEAGE = "card.md", "metrics.json", "lineage.json"
_RELEASES = "releases/"
_MAX_JSON_BYTES = 1_048_576
_RELEASE = re.compile(
    rf"{PREFIX}(?P<name>[a-z0-9][a-z0-9._-]{{0,63}})/{_RELEASES}(?P<number>[0-9]{{6,18}})\.json"
)
_REFERENCE = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]{0,63})(?:@(?P<digest>[0-9a-f]{64}))?")

FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\.[a-z]{1,16}$")]
"""A file of a model; no name of it can lead out of a folder."""


class StoredFile(Contract):
    """One file of a model, as its config names it."""

    sha256: Sha256
    """The SHA-256 of its bytes."""
    size_bytes: Annotated[int, Field(strict=True, ge=0)]
    """How long it is."""


class ModelConfig(Contract):
    """What a model is made of: enough to make the same vectors on any machine."""

    format: Literal[1, 2] = 1
    """Counts up when a reader must know more than before; 2: there is a familiarity gate."""
    name: ModelName
    """The model."""
    network: Annotated[str, Field(min_length=1, max_length=64)]
    """The network, as `embedder.model` names it."""
    network_weights: Annotated[str, Field(min_length=1, max_length=128)]
    """SHA-256 of the network's weights, or torchvision's name for them."""
    preprocess: Annotated[str, Field(min_length=1, max_length=128)]
    """The digest of how pictures become crops."""
    dimensions: Annotated[int, Field(strict=True, ge=1)]
    """How many numbers a vector has."""
    files: dict[FileName, StoredFile]
    """Every file of the model; `weights.safetensors`, or `encoder.onnx` with its card, only where
    no package brings the network."""


def encoded(config: ModelConfig) -> bytes:
    """The one way to write a config, so that equal ones have equal digests."""
    document = config.model_dump(mode="json")
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def digest_of(data: bytes) -> str:
    """Names bytes by their content: lower hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model by its name, and by its digest or as the newest release."""

    name: str
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `NAME` or `NAME@DIGEST`, with or without `registry:` before it.

        Raises:
            SettingsInvalid: it is neither.
        """
        found = _REFERENCE.fullmatch(text.removeprefix(SCHEME))
        if found is None:
            raise SettingsInvalid(
                f"{text!r} names no model of the registry: NAME or NAME@DIGEST, "
                "the digest being 64 hex digits (`sightline models list`)"
            )
        return cls(found["name"], found["digest"])

    def __str__(self) -> str:
        """`NAME` or `NAME@DIGEST`, as it is parsed."""
        return self.name if self.digest is None else f"{self.name}@{self.digest}"


def model_key(name: str, digest: str, file: str) -> str:
    """Names the object that holds a file of a model."""
    return f"{PREFIX}{name}/{digest}/{file}"


def release_key(name: str, number: int) -> str:
    """Names the object that holds a release."""
    return f"{PREFIX}{name}/{_RELEASES}{number:06d}.json"


class ModelRegistry:
    """Reads what is registered; every call may raise `PartUnavailable`.

    Args:
        store: where it lies.
        bucket: our own.
    """

    def __init__(self, store: ObjectStore, bucket: str) -> None:
        self._store = store
        self._bucket = bucket

    def names(self) -> list[str]:
        """Every model that has a release, in order of its name."""
        keys = (found.key for found in self._store.list(self._bucket, PREFIX))
        released = (_RELEASE.fullmatch(key) for key in keys)
        return sorted({found["name"] for found in released if found is not None})

    def releases(self, name: str) -> list[Event[ModelReleased]]:
        """The releases of a model, oldest first; none of a name that is not known.

        Raises:
            Unreadable: one is damaged.
        """
        return [self._release(key) for key in self._release_keys(name)]

    def newest(self, name: str) -> Event[ModelReleased] | None:
        """The last release of a model; None: nothing of that name was released.

        Raises:
            Unreadable: it is damaged.
        """
        keys = self._release_keys(name)
        return self._release(keys[-1]) if keys else None

    def digest(self, reference: ModelReference) -> str:
        """The digest that a reference names, of the newest release where it names none.

        Raises:
            NotFound: nothing of that name was released.
        """
        if reference.digest is not None:
            return reference.digest
        newest = self.newest(reference.name)
        if newest is None:
            raise NotFound(f"no model {reference.name} was released (`sightline models list`)")
        return newest.data.digest

    def config(self, name: str, digest: str) -> ModelConfig:
        """What the model is.

        Raises:
            NotFound: the registry has no such model.
            Unreadable: its config is damaged, or written by a later release of Sightline.
        """
        return checked_config(self._read(name, digest, CONFIG), name=name, digest=digest)

    def file(self, name: str, digest: str, config: ModelConfig, file: str) -> bytes:
        """One file of the model.

        Raises:
            NotFound: the model has no such file, or its bytes are gone.
            Unreadable: they are not those that were registered.
        """
        expected = config.files.get(file)
        if expected is None:
            raise NotFound(f"model {name}@{digest} has no {file}")
        data = self._read(name, digest, file, max_bytes=expected.size_bytes)
        if digest_of(data) != expected.sha256:
            raise Unreadable(f"{model_key(name, digest, file)} is damaged: register it again")
        return data

    def _read(
        self, name: str, digest: str, file: str, *, max_bytes: int = _MAX_JSON_BYTES
    ) -> bytes:
        key = model_key(name, digest, file)
        try:
            return stored_bytes(self._store, self._bucket, key, max_bytes=max_bytes)
        except ObjectMissing as error:
            raise NotFound(f"there is no {key} in bucket {self._bucket}") from error
        except Unreadable as error:
            raise Unreadable(f"{key} is damaged: register the model again") from error

    def _release_keys(self, name: str) -> list[str]:
        """The keys of a model's releases, by number; what else lies there is none."""
        keys = (each.key for each in self._store.list(self._bucket, f"{PREFIX}{name}/{_RELEASES}"))
        found = [match for match in map(_RELEASE.fullmatch, keys) if match is not None]
        return [match[0] for match in sorted(found, key=lambda match: int(match["number"]))]

    def _release(self, key: str) -> Event[ModelReleased]:
        try:
            event = decode(stored_bytes(self._store, self._bucket, key, max_bytes=_MAX_JSON_BYTES))
        except (ContractError, Unreadable) as error:
            raise Unreadable(f"{key} is damaged: {error}") from error
        if not isinstance(event.data, ModelReleased):
            raise Unreadable(f"{key} is damaged: {event.type} does not belong there")
        return event


_CONFIG: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)


def checked_config(data: bytes, *, name: str, digest: str) -> ModelConfig:
    """The config in these bytes.

    Raises:
        Unreadable: they are not the ones that the digest names, or not understood.
    """
    if digest_of(data) != digest:
        raise Unreadable(f"{model_key(name, digest, CONFIG)} is damaged: register the model again")
    try:
        config = _CONFIG.validate_json(data)
    except ValidationError as error:
        raise Unreadable(
            f"model {name}@{digest} was registered by another release of Sightline: "
            f"{ContractError.of(error)}"
        ) from error
    if config.name != name:
        raise Unreadable(f"the model with digest {digest} is {config.name}, not {name}")
    return config
