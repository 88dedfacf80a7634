"""Embedder settings that name a registered model in, settings that name its files out.

The files are kept in the user's cache, where they are checked each time: a process that names a
digest starts without the store, and never with other bytes.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sightline.engine.embedding.encoder_card import SCHEME as ONNX_SCHEME
from sightline.engine.embedding.model_files import ONNX, model_source
from sightline.engine.embedding.model_registry import (
    CONFIG,
    ENCODER,
    ENCODER_CARD,
    PROJECTION,
    SCHEME,
    WEIGHTS,
    ModelConfig,
    ModelReference,
    ModelRegistry,
    checked_config,
    digest_of,
    encoded,
)
from sightline.engine.errors import SettingsInvalid, Unreadable
from sightline.engine.settings import EmbedderSettings

DEFAULT_CACHE = Path(".cache", "sightline", "models")
"""Below the user's home."""


def reference_in(settings: EmbedderSettings) -> ModelReference | None:
    """The registered model that the settings name; None: they name a network.

    Raises:
        SettingsInvalid: it is no reference, or files are named beside it.
    """
    if not settings.model.startswith(SCHEME):
        return None
    if settings.weights is not None or settings.projection is not None:
        raise SettingsInvalid(
            "embedder.weights and embedder.projection belong to a network, and embedder.model "
            f"is {settings.model}, which brings its own: leave them out"
        )
    return ModelReference.parse(settings.model)


class ModelCache:
    """Copies of registered models in a folder of this machine.

    Args:
        folder: made when the first model is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str, digest: str) -> ModelConfig | None:
        """The config of a model whose files are here and whole; None: fetch it."""
        folder = self.folder(digest)
        try:
            config = checked_config((folder / CONFIG).read_bytes(), name=name, digest=digest)
            whole = all(
                digest_of((folder / file).read_bytes()) == config.files[file].sha256
                for file in _needed(config)
            )
        except (OSError, Unreadable):
            return None
        return config if whole else None

    def fetch(self, registry: ModelRegistry, name: str, digest: str) -> ModelConfig:
        """Read a model from the registry and keep it; readers see all of it or nothing.

        Raises:
            NotFound, Unreadable, PartUnavailable: as `ModelRegistry.config` and `file`.
            OSError: the folder cannot be written to.
        """
        config = registry.config(name, digest)
        files = {file: registry.file(name, digest, config, file) for file in _needed(config)}
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            new = Path(scratch) / "model"
            new.mkdir()
            for file, data in {CONFIG: encoded(config), **files}.items():
                (new / file).write_bytes(data)
            self._keep(new, name, digest)
        return config

    def folder(self, digest: str) -> Path:
        """Where the files of a model lie, if they are here."""
        return self._folder / digest

    def _keep(self, new: Path, name: str, digest: str) -> None:
        try:
            new.replace(self.folder(digest))
        except OSError:
            if self.find(name, digest) is not None:
                return  # another process was faster, and may be reading it
            shutil.rmtree(self.folder(digest), ignore_errors=True)
            new.replace(self.folder(digest))


def with_files(settings: EmbedderSettings, config: ModelConfig, folder: Path) -> EmbedderSettings:
    """The settings that run a registered model from its files, on what this machine has.

    Raises:
        SettingsInvalid: this release has another network or makes other crops, so that the
            vectors would be others.
    """
    weights = folder / WEIGHTS if WEIGHTS in config.files else None
    projection = folder / PROJECTION if PROJECTION in config.files else None
    network = f"{ONNX_SCHEME}{folder / ENCODER}" if config.network == ONNX else config.network
    update = {"model": network, "weights": weights, "projection": projection}
    resolved = settings.model_copy(update=update)
    source = model_source(resolved)
    expected = {"weights": config.network_weights, "preprocess": config.preprocess}
    have = {"weights": source.weights_id, "preprocess": source.framing.digest}
    if have != expected:
        raise SettingsInvalid(
            f"embedder.model: {config.name} was made with {expected} of {config.network}, and "
            f"this release of Sightline has {have}: run the release that made it, or train anew"
        )
    return resolved


def _needed(config: ModelConfig) -> Iterable[str]:
    """The files that embedding needs; card, metrics and lineage are for people."""
    every = (PROJECTION, WEIGHTS, ENCODER, ENCODER_CARD)
    return [file for file in every if file in config.files]
