"""Settings in, the settings of the embedder with a registered model's files found for it out."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from sightline.engine.connecting.connections import connect_object_store
from sightline.engine.embedding.model_registry import (
    SCHEME,
    ModelConfig,
    ModelReference,
    ModelRegistry,
)
from sightline.engine.embedding.registered_models import (
    DEFAULT_CACHE,
    ModelCache,
    reference_in,
    with_files,
)
from sightline.engine.errors import NotFound, SettingsInvalid, Unreadable
from sightline.engine.settings import EmbedderSettings, Settings


def embedder_settings(settings: Settings, *, cache: Path | None = None) -> EmbedderSettings:
    """What `open_embedder` takes; the same as the settings say, unless they name the registry.

    The store is asked only where the cache has not got the model, or no digest says which.

    Args:
        settings: the process's.
        cache: where models are kept on this machine; none: `~/.cache/sightline/models`.

    Raises:
        SettingsInvalid: there is no such model, it is damaged, or this release cannot run it.
        PartUnavailable: the store did not answer.
    """
    reference = reference_in(settings.embedder)
    if reference is None:
        return settings.embedder
    _, config, folder = _resolved(settings, reference, cache)
    return with_files(settings.embedder, config, folder)


def named_model(settings: Settings) -> ModelReference | None:
    """The registered model that the settings name, with its digest; None: they name a network.

    Raises:
        SettingsInvalid: there is no such model, or it is damaged.
        PartUnavailable: the store did not answer.
    """
    reference = reference_in(settings.embedder)
    if reference is None:
        return None
    return ModelReference(reference.name, _resolved(settings, reference)[0])


def named_digest(settings: Settings) -> str | None:
    """The digest of `named_model`, which events of a release name; None: the settings name none."""
    found = named_model(settings)
    return None if found is None else found.digest


def naming(settings: Settings, reference: ModelReference | str) -> Settings:
    """The settings that would serve a model of the registry."""
    chosen = {"model": f"{SCHEME}{reference}", "weights": None, "projection": None}
    embedder = settings.embedder.model_copy(update=chosen)
    return settings.model_copy(update={"embedder": embedder})


def _resolved(
    settings: Settings, reference: ModelReference, cache: Path | None = None
) -> tuple[str, ModelConfig, Path]:
    """Digest, config and folder of a registered model, whose files are here afterwards."""
    kept = ModelCache(cache or Path.home() / DEFAULT_CACHE)
    try:
        digest, config = _found(settings, reference, kept)
    except (NotFound, Unreadable) as error:
        raise SettingsInvalid(f"embedder.model: {error}") from error
    except OSError as error:
        raise SettingsInvalid(f"embedder.model: cannot keep {reference} here: {error}") from error
    return digest, config, kept.folder(digest)


def _found(
    settings: Settings, reference: ModelReference, kept: ModelCache
) -> tuple[str, ModelConfig]:
    if reference.digest is not None:
        config = kept.find(reference.name, reference.digest)
        if config is not None:
            return reference.digest, config
    with closing(connect_object_store(settings)) as store:
        registry = ModelRegistry(store, settings.store.bucket)
        digest = registry.digest(reference)
        found = kept.find(reference.name, digest)
        return digest, found or kept.fetch(registry, reference.name, digest)
