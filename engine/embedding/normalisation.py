"""What a network subtracts from and divides pixels by, and the default model's name."""

from __future__ import annotations

from dataclasses import dataclass

LITE0 = "efficientnet_lite0"
"""The default model; every other name is one of torchvision's."""


@dataclass(frozen=True, slots=True)
class Normalisation:
    """(pixel - mean) / std on 0-255, per RGB channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


LITE0_INPUT = Normalisation((127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Mean and spread of torchvision's `ImageClassification` presets, times 255."""
