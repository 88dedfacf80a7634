"""A network small enough to train in a test, and `sightline train-backbone` on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from sightline.engine.embedding.networks import Normalised
from sightline.engine.embedding.normalisation import IMAGENET
from sightline.infra.commands.learning import backbone
from sightline.infra.commands.learning.backbone import BackboneWishes, run_backbone
from sightline.training.backbone.settings import BackboneSettings
from tests.training_place import Place

SETTINGS = BackboneSettings(steps=2, batch=2, corpus=1, jitter=0, checkpoint_every=1)


class Means(torch.nn.Module):
    """A network of sixteen features in two blocks, the mean of each map."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 32, 32), torch.nn.ReLU())
        self.last = torch.nn.Sequential(torch.nn.Conv2d(8, 16, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3, size, size) normalised to (n, 16)."""
        maps: torch.Tensor = self.last(self.first(pixels))
        return maps.mean(dim=(2, 3))


def trains_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a deployment's network be one that can be trained."""
    monkeypatch.setattr(backbone, "build_network", lambda *_: Normalised(Means(), IMAGENET).eval())


def backbone_wishes(place: Place, name: str, **changes: Any) -> BackboneWishes:
    """What trains the network into a folder, from the head's run of that name."""
    wishes = BackboneWishes(
        folder=place.folder / name,
        head=place.folder / "head",
        settings=SETTINGS,
        corpus=4,
        cache=place.folder / "cache",
    )
    return replace(wishes, **changes)


def of_backbone(place: Place, name: str, **changes: Any) -> dict[str, bytes]:
    """Train the network from a head's run; its files' bytes by name."""
    run_backbone(place.settings, backbone_wishes(place, name, **changes), lambda _: None)
    return {path.name: path.read_bytes() for path in (place.folder / name).iterdir()}
