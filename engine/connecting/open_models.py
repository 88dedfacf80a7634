"""Models that are open, by their reference in the registry; equal networks are there once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from sightline.engine.connecting.released_model import embedder_settings, named_model, naming
from sightline.engine.embedding.choice import ModelHead, open_embedder, read_head
from sightline.engine.records import GenerationSpec

if TYPE_CHECKING:
    from sightline.engine.embedding.embedder import ProjectingEmbedder, Runtime
    from sightline.engine.ports import Embedder
    from sightline.engine.settings import EmbedderSettings, Settings


class OpenModels:
    """Opens each model once for as long as anybody has it. Safe from several threads.

    Args:
        settings: which model the first generation is made with, and what runs all of them.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._open: WeakValueDictionary[str | None, ProjectingEmbedder] = WeakValueDictionary()
        self._networks: WeakValueDictionary[str, Runtime] = WeakValueDictionary()
        self._kept: list[ProjectingEmbedder] | None = None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Inside, what is opened stays open: a start asks for one model three times in turn."""
        self._kept = []
        try:
            yield
        finally:
            self._kept = None

    @cached_property
    def named(self) -> str | None:
        """`NAME@DIGEST` of the registered model that the settings name; None: they name a network.

        Raises:
            SettingsInvalid: there is no such model.
            PartUnavailable: the store did not answer.
        """
        found = named_model(self._settings)
        return None if found is None else str(found)

    def embedder(self, reference: str | None) -> ProjectingEmbedder:
        """The model of a generation.

        Args:
            reference: `NAME@DIGEST` in the registry; None: what the settings name.

        Raises:
            SettingsInvalid: there is no such model, or it cannot be run here.
            PartUnavailable: the store did not answer.
        """
        wanted = reference or self.named
        found = self._open.get(wanted)
        if found is not None:
            return found  # without the lock: another model may be taking its time under it
        with self._lock:
            found = self._open.get(wanted)
            if found is None:
                found = open_embedder(self._embedder_settings(wanted), networks=self._networks)
                self._open[wanted] = found
            if self._kept is not None:
                self._kept.append(found)
            return found

    def head(self, reference: str | None) -> ModelHead | ProjectingEmbedder:
        """What a model makes of features, and its digests; no network is opened for it.

        Args:
            reference: as `embedder` takes it.

        Raises:
            SettingsInvalid, PartUnavailable: as `embedder`.
        """
        wanted = reference or self.named
        return self._open.get(wanted) or read_head(self._embedder_settings(wanted))

    def _embedder_settings(self, wanted: str | None) -> EmbedderSettings:
        chosen = self._settings if wanted is None else naming(self._settings, wanted)
        return embedder_settings(chosen)


def generation_spec(settings: Settings, embedder: Embedder, name: str = "") -> GenerationSpec:
    """What an index records that is made with this model; none: it is named after the model."""
    digest = embedder.digest
    spec = GenerationSpec(
        name=name or f"g-{digest.removeprefix('sha256:')[:16]}",
        model_digest=digest,
        preprocess_digest=embedder.framing.digest,
        dimensions=embedder.dimensions,
        quantisation=settings.index.quantisation,
    )
    if settings.index.features == "none":
        return spec
    return replace(
        spec,
        features_digest=embedder.features_digest,
        features=embedder.feature_count,
        feature_bits=int(settings.index.features),
    )
