"""The torch runtimes: eager and compiled on CPU, and CUDA."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sightline.engine.embedding.model_files import ModelSource
from sightline.engine.embedding.networks import build_network, from_crops

CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
_CACHE = Path(".cache", "sightline", "compiled")
_CUDA_BATCH = 16
"""CUDA picks its kernels by batch size: one size, filled up, keeps a vector its own."""


class TorchRuntime:
    """See `Runtime`: a torch network on one device; a forward pass of one size only."""

    def __init__(
        self, network: nn.Module, *, name: str, precision: str, size: int, batch: int = 1
    ) -> None:
        self.name, self.precision = name, precision
        self.batched = batch > 1
        """Only where a forward pass takes more than one: on CUDA."""
        self._size = size
        self._batch = batch
        self._device = torch.device("cuda" if name == "cuda" else "cpu")
        self._network = network.to(self._device)

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, size, size, 3) to float32 (n, features)."""
        filled = -len(crops) % self._batch if len(crops) else self._batch
        shape = (filled, self._size, self._size, 3)
        whole = np.concatenate([crops, np.zeros(shape, np.uint8)]) if filled else crops.copy()
        with torch.inference_mode():
            parts = [
                self._network(part.to(self._device)).float().cpu()
                for part in torch.split(torch.from_numpy(whole), self._batch)
            ]
        features: NDArray[np.float32] = torch.cat(parts)[: len(crops)].numpy()
        return features


def open_torch(source: ModelSource, *, precision: str, runtime: str) -> TorchRuntime:
    """A torch runtime of a model. Sets torch to one thread per call in this process (not CUDA).

    Raises:
        SettingsInvalid: the model's files do not fit.
    """
    if runtime != "cuda":
        torch.set_num_threads(1)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    network = build_network(source.model, source.weights, source.normalisation)
    taken: nn.Module = from_crops(network, dtype=dtype)
    if runtime == "torch-compiled":
        keep_compiled_apart()
        taken.compile(dynamic=False)
    batch = _CUDA_BATCH if runtime == "cuda" else 1
    return TorchRuntime(
        taken, name=runtime, precision=precision, size=source.framing.size, batch=batch
    )


def keep_compiled_apart() -> None:
    """Give compiled networks a cache of this processor's kind, unless the environment names one.

    Torch finds them again by the network alone: one that was compiled for AVX-512 gave vectors
    without any likeness to the right ones where only AVX2 was to be used. Torch itself writes its
    default into the environment as soon as its compiler is imported: that names none.
    """
    from torch._inductor.runtime.cache_dir_utils import (  # noqa: PLC0415 - seconds
        default_cache_dir,
    )

    default = str(Path(default_cache_dir()).absolute())
    if os.environ.get(CACHE_VARIABLE, default) == default:
        kind = torch.backends.cpu.get_cpu_capability()
        os.environ[CACHE_VARIABLE] = str(Path.home() / _CACHE / kind)
