"""Networks of random weights with the vectors that torchvision itself gives for them.

A folder of them looks like the reference networks beside the checkout: a safetensors file a network
by torchvision's names, and `reference_embeddings.npz` with the crops and each network's vectors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional
from torchvision import models  # type: ignore[import-untyped]

from sightline.engine.pictures.prepare import prepare
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from tests.pictures import encoded, scene

NETWORKS = {
    "squeezenet1_1": "squeezenet1_1_onnxzoo_fp32",
    "mobilenet_v2": "mobilenet_v2_onnxzoo_features_fp32",
}
"""torchvision's name of each to the name of its files."""
CROPS = "crops_uint8_nhwc"
_SIZE, _CROPS, _SEED = 224, 16, 11
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make_reference_networks(folder: Path) -> None:
    """Write the networks and their vectors into a new or existing folder."""
    folder.mkdir(parents=True, exist_ok=True)
    crops = np.stack([_crop(seed) for seed in range(_CROPS)])
    vectors = {file: _vectors(model, folder / file, crops) for model, file in NETWORKS.items()}
    arrays: dict[str, NDArray[Any]] = {CROPS: crops, **vectors}
    np.savez(folder / "reference_embeddings.npz", **arrays)  # type: ignore[arg-type]


def _crop(seed: int) -> NDArray[np.uint8]:
    data = encoded(scene(_SIZE, _SIZE, seed), "PNG")
    return prepare(data, limits=DecodeSettings(), framing=Framing(_SIZE)).crop


def _vectors(model: str, file: Path, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    torch.manual_seed(_SEED)
    network: nn.Module = models.get_model(model, weights=None)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255
    pixels = (pixels - torch.tensor(_MEAN).view(3, 1, 1)) / torch.tensor(_STD).view(3, 1, 1)
    with torch.inference_mode():
        network.train()(pixels)  # normalisation layers learn these pictures, and so tell them apart
        maps = network.eval().features(pixels)  # type: ignore[operator]
        pooled = functional.normalize(maps.mean(dim=(2, 3)))
    state = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    save_file(state, file.with_suffix(".safetensors"))
    vectors: NDArray[np.float32] = pooled.numpy()
    return vectors
