"""A model's name in, a torch network of pooled features out: the only builder of networks.

Any torchvision classification network, its classifier removed, or EfficientNet-Lite0. The network
takes float (n, 3, size, size) in 0-255, RGB, and normalises by itself, so that every runtime is
given the same uint8 crops.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sightline.engine.embedding.lite0 import EfficientNetLite0, load_lite0, load_own
from sightline.engine.embedding.normalisation import LITE0, Normalisation


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
        load = load_own if weights.suffix == ".safetensors" else load_lite0
        load(network, weights)
    else:
        # The default model does without: torchvision takes longer to import than torch itself.
        from sightline.engine.embedding import torchvision_networks  # noqa: PLC0415

        network = torchvision_networks.torchvision_network(model, weights)
    network.requires_grad_(requires_grad=False)
    return Normalised(network, normalisation).eval()
