"""A model's name in, a torch network of pooled features out: the only builder of networks.

Any torchvision classification network, its classifier removed, or EfficientNet-Lite0. The network
takes float (n, 3, size, size) in 0-255, RGB, and normalises by itself, so that every runtime is
given the same uint8 crops.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models  # type: ignore[import-untyped]

from sightline.engine.embedding.lite0 import EfficientNetLite0, load_lite0
from sightline.engine.embedding.normalisation import LITE0, Normalisation
from sightline.engine.errors import RefusedToStart, SettingsInvalid

_POOLED_BY_CLASSIFIER = (models.SqueezeNet, models.VGG, models.AlexNet)
_HEADS = ("heads", "head", "fc", "classifier")


class Normalised(nn.Module):
    """A network behind its own input normalisation."""

    def __init__(self, network: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, size, size) in 0-255 to (n, features)."""
        features: Tensor = self.network(self.scaled(pixels))
        return features

    def scaled(self, pixels: Tensor) -> Tensor:
        """Scales pixels as in the network's training: (pixels - mean) / std."""
        scaled: Tensor = (pixels - self.mean) / self.std
        return scaled


class FromCrops(nn.Module):
    """A network that takes the crops as they come: uint8, channels last."""

    def __init__(self, network: Normalised, dtype: torch.dtype) -> None:
        super().__init__()
        self.normalised = network
        self.dtype = dtype
        network.network.to(dtype).to(memory_format=torch.channels_last)

    def forward(self, crops: Tensor) -> Tensor:
        """uint8 (n, size, size, 3) to (n, features); normalised in fp32, run in `dtype`."""
        pixels = crops.permute(0, 3, 1, 2).to(torch.float32)
        features: Tensor = self.normalised.network(self.normalised.scaled(pixels).to(self.dtype))
        return features


def from_crops(network: Normalised, *, dtype: torch.dtype = torch.float32) -> FromCrops:
    """The network with the runtimes' common input, its weights in `dtype`."""
    return FromCrops(network, dtype).eval()


def torchvision_weights_name(model: str) -> str:
    """The file name of torchvision's default weights, which carries their hash.

    Raises:
        SettingsInvalid: no such model.
    """
    _check_known(model)
    return str(models.get_model_weights(model)["DEFAULT"].url).rsplit("/", 1)[-1]


def _check_known(model: str) -> None:
    if model not in models.list_models(module=models):
        raise SettingsInvalid(f"embedder.model: {model!r} is no torchvision classification network")


def build_network(model: str, weights: Path | None, normalisation: Normalisation) -> Normalised:
    """The network in evaluation mode, fp32, with its weights.

    Args:
        model: the default model's or a torchvision classification network's name.
        weights: a local file (safetensors; for the default model also its package's); none:
            torchvision's own, downloaded where the network allows it.
        normalisation: of the input.

    Raises:
        SettingsInvalid: no such model, or the file does not fit it.
        RefusedToStart: torchvision's weights cannot be had here.
    """
    network: nn.Module
    if model == LITE0 and weights is not None:
        network = EfficientNetLite0()
        load_lite0(network, weights)
    else:
        network = _torchvision_network(model, weights)
    network.requires_grad_(requires_grad=False)
    return Normalised(network, normalisation).eval()


def _torchvision_network(model: str, weights: Path | None) -> nn.Module:
    _check_known(model)
    if weights is None:
        return _without_classifier(_downloaded(model))[0]
    network, removed = _without_classifier(models.get_model(model, weights=None, **_quiet(model)))
    load_local(network, weights, ignored=removed)
    return network


def _quiet(model: str) -> dict[str, Any]:
    return {"init_weights": False} if model in {"googlenet", "inception_v3"} else {}


def _downloaded(model: str) -> nn.Module:
    try:
        network: nn.Module = models.get_model(model, weights="DEFAULT")
    except (URLError, OSError, RuntimeError) as error:
        raise RefusedToStart(
            f"torchvision's weights of {model} cannot be downloaded here ({error}); name a local "
            "safetensors file in embedder.weights"
        ) from error
    return network


def load_local(network: nn.Module, weights: Path, *, ignored: str) -> None:
    """Load a safetensors file; entries of the removed classifier may be there or not.

    Raises:
        SettingsInvalid: unreadable, or its tensors are not those of the network.
    """
    try:
        state = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise SettingsInvalid(f"embedder.weights: cannot read {weights}: {error}") from error
    state = {name: value.float() for name, value in state.items()}
    expected = network.state_dict()
    aux = ("AuxLogits.", "aux1.", "aux2.")
    missing = {name for name in expected if not name.startswith(aux)} - state.keys()
    surplus = {name for name in state.keys() - expected.keys() if not name.startswith(ignored)}
    if missing or surplus:
        example = min(missing or surplus)
        raise SettingsInvalid(
            f"embedder.weights: {weights} does not fit the model: {len(missing)} tensors missing, "
            f"{len(surplus)} unknown, for example {example!r}"
        )
    try:
        for name in expected.keys() & state.keys():
            expected[name] = state[name]
        network.load_state_dict(expected)  # as loaded from itself: some networks ask its version
    except RuntimeError as error:
        raise SettingsInvalid(f"embedder.weights: {weights} does not fit: {error}") from error


def _without_classifier(network: nn.Module) -> tuple[nn.Module, str]:
    """The network that ends in pooled features, and the prefix of the tensors that went."""
    if isinstance(network, _POOLED_BY_CLASSIFIER):
        return _PooledFeatures(network.features), "classifier."
    for name in _HEADS:
        head = getattr(network, name, None)
        if isinstance(head, nn.Module):
            setattr(network, name, _kept_of(head))
            return network, f"{name}."
    raise SettingsInvalid(f"embedder.model: cannot tell the classifier of {type(network).__name__}")


class _PooledFeatures(nn.Module):
    """Features of a network whose classifier did the pooling."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, pixels: Tensor) -> Tensor:
        """Global average of the last feature map."""
        maps: Tensor = self.features(pixels)
        return maps.mean(dim=(2, 3))


def _kept_of(head: nn.Module) -> nn.Module:
    """What stands before the first layer that classifies: norms and reshaping, else nothing."""
    if not isinstance(head, nn.Sequential):
        return nn.Identity()
    kept: list[nn.Module] = []
    for layer in head:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            break
        if not isinstance(layer, nn.Dropout):
            kept.append(layer)
    return nn.Sequential(*kept) if kept else nn.Identity()
