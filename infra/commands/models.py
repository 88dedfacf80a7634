"""What the commands on models do, over the registry in the bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_log_producer, open_object_store
from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.embedding.model_registry import (
    CARD,
    LINEAGE,
    METRICS,
    SCHEME,
    ModelConfig,
    ModelReference,
    ModelRegistry,
)
from sightline.engine.errors import SettingsInvalid
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import EmbedderSettings, Settings
from sightline.schemas.envelope import Event
from sightline.schemas.models import ModelReleased

Facts = Mapping[str, Any]
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

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """With the object store of the settings. Raises `PartUnavailable`."""
        with closing(open_object_store(settings)) as store:
            yield cls(settings, store)

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

        def text(file: str) -> str:
            return self._registry.file(wanted.name, digest, config, file).decode()

        releases = self._registry.releases(wanted.name)
        return ShownModel(
            digest=digest,
            config=config,
            releases=tuple(each for each in releases if each.data.digest == digest),
            metrics=json.loads(text(METRICS)),
            lineage=json.loads(text(LINEAGE)),
            card=text(CARD),
        )

    def release(
        self, name: str, place: Path, *, strength: float, card: Path | None
    ) -> Event[ModelReleased]:
        """Register what was trained and release it, by a person's decision; then tell the log.

        Raises:
            SettingsInvalid: there is no model at that place.
            RefusedToStart: embedded mode, and nothing runs.
            PartUnavailable: store or log did not answer; a repeat is safe.
        """
        from sightline.training.models.candidates import of_file  # noqa: PLC0415 - extra
        from sightline.training.models.registry import (  # noqa: PLC0415 - extra
            Reasons,
            publish,
            release,
            store_model,
        )
        from sightline.training.models.released_head import registered  # noqa: PLC0415 - extra

        if ModelReference.parse(name).digest is not None:
            raise SettingsInvalid(f"{name!r}: a new model has a name, and gets its digest here")
        candidate = of_file(place, network_of(self._settings), strength=strength)
        model = registered(
            candidate,
            name,
            metrics=_json_in(place / METRICS),
            lineage={"made_from": candidate.name, "run": _json_in(place / RUN_FILE)},
            card=None if card is None else card.read_text(),
        )
        with closing(open_log_producer(self._settings)) as producer:
            digest = store_model(self._store, self._bucket, model)
            by_hand = Reasons(against=None, gate=())
            event = release(
                self._store, self._bucket, model.name, digest, by_hand, now=SystemClock().now()
            )
            publish(producer, event, timeout_s=self._settings.kafka.delivery_timeout_s)
        return event


def network_of(settings: Settings) -> EmbedderSettings:
    """The network that trained projections lie over: that of the model that serves."""
    return embedder_settings(settings).model_copy(update={"projection": None})


def naming(settings: Settings, reference: ModelReference) -> Settings:
    """The settings that would serve a model of the registry."""
    chosen = {"model": f"{SCHEME}{reference}", "weights": None, "projection": None}
    embedder = settings.embedder.model_copy(update=chosen)
    return settings.model_copy(update={"embedder": embedder})


def differences(one: Facts, other: Facts) -> Iterator[tuple[str, Any, Any]]:
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
        found = json.loads(file.read_text())
    except ValueError as error:
        raise SettingsInvalid(f"{file} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise SettingsInvalid(f"{file} holds no JSON object")
    return found
