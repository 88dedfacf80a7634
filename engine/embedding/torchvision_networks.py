"""Torchvision's classification networks, with any weights, ending in their pooled features."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models  # type: ignore[import-untyped]

from sightline.engine.errors import RefusedToStart, SettingsInvalid

_POOLED_BY_CLASSIFIER = (models.SqueezeNet, models.VGG, models.AlexNet)
_HEADS = ("heads", "head", "fc", "classifier")


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


def torchvision_network(model: str, weights: Path | None) -> nn.Module:
    """Build torchvision's network of that name without its classifier.

    Args:
        model: torchvision's name of the network.
        weights: a local safetensors file; none: torchvision's own, downloaded if need be.

    Raises:
        SettingsInvalid: no such model, or the file does not fit it.
        RefusedToStart: torchvision's weights cannot be had here.
    """
    _check_known(model)
    if weights is None:
        return _without_classifier(_downloaded(model))[0]
    network, removed = _without_classifier(models.get_model(model, weights=None, **_quiet(model)))
    _load_local(network, weights, ignored=removed)
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


def _load_local(network: nn.Module, weights: Path, *, ignored: str) -> None:
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
