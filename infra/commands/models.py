"""What the commands on models do, over the registry in the bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_log_producer
from sightline.engine.connecting.serving_model import serving_embedder
from sightline.engine.embedding.model_registry import (
    CARD,
    LINEAGE,
    METRICS,
    ModelConfig,
    ModelReference,
    ModelRegistry,
)
from sightline.engine.errors import SettingsInvalid, Unreadable
from sightline.engine.ports import ObjectStore
from sightline.engine.regular_files import read_text
from sightline.engine.settings import EmbedderSettings, Settings
from sightline.infra.commands.taken_back import taken_back_told
from sightline.schemas.envelope import Event
from sightline.schemas.models import GateLine, ModelReleased

if TYPE_CHECKING:
    from sightline.training.models.candidates import Candidate

Facts = Mapping[str, Any]
T = TypeVar("T")
_MAX_FILE_BYTES = 16 * 1_048_576
RUN_FILE = "run.json"
"""What a training run tells of itself, in its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownModel:
    """One model of the registry, with what its files say."""

    digest: str
    config: ModelConfig
    releases: tuple[Event[ModelReleased], ...]
    """Those of this digest, oldest first."""
    metrics: Facts
    lineage: Facts
    card: str
    taken_back: str | None
    """What was taken back since of what taught it; None: nothing is known to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What is told of a model that is released."""

    metrics: Facts
    lineage: Facts
    against: str | None = None
    """The digest in the registry of what it was compared with; None: nothing of the registry."""
    gate: tuple[GateLine, ...] = ()
    """Empty: a person decided."""

    @classmethod
    def of_run(cls, place: Path, made_from: str) -> Self:
        """What the folder of a run tells; of a file alone, only where it lay.

        Raises:
            SettingsInvalid: a document in the folder cannot be read.
        """
        lineage = {"made_from": made_from, "run": _json_in(place / RUN_FILE)}
        return cls(metrics=_json_in(place / METRICS), lineage=lineage)


class ModelCommands:
    """Reads and writes the registry of one deployment.

    Args:
        settings: the process's.
        store: of these settings, open.
    """

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self._bucket = settings.store.bucket
        self._registry = ModelRegistry(store, self._bucket)

    def releases(self) -> Iterator[Event[ModelReleased]]:
        """Every release of every model, by name and number."""
        for name in self._registry.names():
            yield from self._registry.releases(name)

    def show(self, reference: str) -> ShownModel:
        """A model, by its name or by name and digest.

        Raises:
            NotFound: there is no such model.
            Unreadable: it is damaged.
        """
        wanted = ModelReference.parse(reference)
        digest = self._registry.digest(wanted)
        config = self._registry.config(wanted.name, digest)

        def read(file: str, of: Callable[[str], T]) -> T:
            try:
                return of(self._registry.file(wanted.name, digest, config, file).decode())
            except ValueError as error:
                raise Unreadable(f"{file} of model {wanted.name}@{digest}: {error}") from error

        releases = self._registry.releases(wanted.name)
        lineage = read(LINEAGE, _object_in)
        run = lineage.get("run")
        told = run if isinstance(run, Mapping) else {}
        return ShownModel(
            digest=digest,
            config=config,
            releases=tuple(each for each in releases if each.data.digest == digest),
            metrics=read(METRICS, _object_in),
            lineage=lineage,
            card=read(CARD, str),
            taken_back=taken_back_told(self._settings, self._store, told),
        )

    def release(
        self, name: str, model: Candidate, evidence: Released, card: str | None = None
    ) -> Event[ModelReleased]:
        """Register a model and release it; then tell the log. This alone changes no search.

        Raises:
            SettingsInvalid: no new model can have that name, or there is nothing to register.
            RefusedToStart: embedded mode, and nothing runs.
            PartUnavailable: store or log did not answer; a repeat is safe.
        """
        from sightline.training.models import registry  # noqa: PLC0415 - extra
        from sightline.training.models.released_head import registered  # noqa: PLC0415 - extra

        if ModelReference.parse(name).digest is not None:
            raise SettingsInvalid(f"{name!r}: a new model has a name, and gets its digest here")
        new = registered(model, name, metrics=evidence.metrics, lineage=evidence.lineage, card=card)
        reasons = registry.Reasons(against=evidence.against, gate=evidence.gate)
        with closing(open_log_producer(self._settings)) as producer:
            digest = registry.store_model(self._store, self._bucket, new)
            now = SystemClock().now()
            event = registry.release(self._store, self._bucket, name, digest, reasons, now=now)
            registry.publish(producer, event, timeout_s=self._settings.kafka.delivery_timeout_s)
        return event


def network_of(settings: Settings) -> EmbedderSettings:
    """The network that trained projections lie over: that of the model that serves."""
    return serving_embedder(settings).model_copy(update={"projection": None})


def document_differences(one: Facts, other: Facts) -> Iterator[tuple[str, Any, Any]]:
    """Where two documents differ: dotted path, value there and here; None: it is not there."""
    here, there = dict(_leaves(one)), dict(_leaves(other))
    for path in sorted({*here, *there}):
        if here.get(path) != there.get(path):
            yield path, here.get(path), there.get(path)


def _leaves(facts: Facts, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _json_in(file: Path) -> Facts:
    """The document in a file; nothing where there is no such file."""
    if not file.is_file():
        return {}
    try:
        return _object_in(read_text(file, _MAX_FILE_BYTES))
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"{file} cannot be read: {error}") from error


def _object_in(text: str) -> Facts:
    """Raises `ValueError`: it is no JSON object."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - as of other text
    return found
