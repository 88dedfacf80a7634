"""What this machine can run: each answer is asked of the library that would have to do it.

The libraries' own variables make a modern processor look like one without bf16 and AVX-512:
`OV_CPU_MAX_ISA=AVX2` to OpenVINO, `ATEN_CPU_CAPABILITY=avx2` to torch, `ONEDNN_MAX_CPU_ISA=AVX2`
(or its older name, `DNNL_MAX_CPU_ISA`) to the kernels of both.
"""

# ruff: noqa: PLC0415 - a process imports only the framework that it runs

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.engine.errors import SettingsInvalid

if TYPE_CHECKING:
    import openvino as ov  # type: ignore[import-untyped]

_LIMITS_OF_KERNELS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_NVIDIA_DEVICE = Path("/dev/nvidiactl")
_COMPILERS = ("c++", "g++", "clang++")
_MISSING = {
    "openvino": "the package openvino is not installed",
    "torch-compiled": "torch-compiled needs a C++ compiler on this machine; set it to auto",
    "cuda": "torch sees no CUDA device here; set it to auto",
}


def has_cuda() -> bool:
    """Whether torch can use a GPU here; torch is imported only where there is an NVIDIA driver."""
    if not _NVIDIA_DEVICE.exists():
        return False
    import torch

    return torch.cuda.is_available()


def can_run(runtime: str) -> bool:
    """Whether this machine has what a runtime needs: a package, a compiler or a GPU."""
    if runtime == "openvino":
        return find_spec("openvino") is not None
    if runtime == "torch-compiled":
        return any(shutil.which(name) for name in _COMPILERS)
    return runtime != "cuda" or has_cuda()


def computes_in_bf16(runtime: str) -> bool:
    """Whether a runtime that can run here does its sums in bf16, not only stores them so."""
    if runtime == "openvino":
        return _openvino_computes_in_bf16()
    import torch

    if runtime == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - the only way to ask


def _openvino_computes_in_bf16() -> bool:
    """What OpenVINO says of the processor; what its kernels can do, where they are limited."""
    import openvino as ov

    core = ov.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return False
    if os.environ.keys().isdisjoint(_LIMITS_OF_KERNELS):
        return True
    try:
        core.compile_model(_convolution(), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    except RuntimeError:
        return False
    return True


def _convolution() -> ov.Model:
    """A network of one step that OpenVINO leaves to its kernels."""
    import numpy as np
    import openvino as ov
    from openvino import opset13 as operations

    picture = operations.parameter([1, 1, 3, 3], np.float32)
    kernel = np.ones((1, 1, 3, 3), np.float32)
    step = operations.convolution(picture, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    return ov.Model([step], [picture])


def fastest_runtime() -> str:
    """CUDA, OpenVINO, compiled torch, eager torch: the first that this machine can run."""
    every = ("cuda", "openvino", "torch-compiled", "torch-eager")
    return next(runtime for runtime in every if can_run(runtime))


def need_runtime(runtime: str) -> None:
    """Do nothing where the machine can run it.

    Raises:
        SettingsInvalid: it cannot; says what is missing.
    """
    if not can_run(runtime):
        raise SettingsInvalid(f"embedder.runtime: {_MISSING[runtime]}")


def concrete_precision(wanted: str, runtime: str) -> str:
    """`auto` made concrete: bf16 where the runtime computes in it on this machine, else fp32.

    Raises:
        SettingsInvalid: bf16 is asked for where nothing computes in it.
    """
    if wanted == "fp32":
        return wanted
    if computes_in_bf16(runtime):
        return "bf16"
    if wanted == "bf16":
        raise SettingsInvalid(
            f"embedder.precision: this machine does not compute in bf16 with {runtime}; set it to "
            "fp32 (another vector space: index again) or to auto"
        )
    return "fp32"
