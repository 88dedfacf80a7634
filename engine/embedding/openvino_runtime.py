"""The OpenVINO runtime: the fastest on CPUs, needs no compiler, releases the GIL.

One image per inference and one stream per thread: on this network batches gain nothing (measured),
and a vector cannot depend on what it was batched with. The converted network is kept in the
user's cache, so that only the first process pays for torch, and that in a child.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openvino as ov  # type: ignore[import-untyped]
from numpy.typing import NDArray

from sightline.engine.embedding.conversion import BIN, XML, convert_in_child
from sightline.engine.embedding.model_files import ModelSource

_CONVERSION = 1
"""Counts up when the networks or their conversion change, so that old entries are not used."""
_PRECISIONS = {"bf16": "bf16", "fp32": "f32"}
_NICENESS = 10
"""About a tenth of the weight of a normal thread, and only where both want the same core."""
_SUMS = "sha256.json"


class OpenVinoRuntime:
    """Runs a network that OpenVINO compiled for this machine's CPU."""

    name = "openvino"
    batched = False
    """Each inference takes one image."""

    def __init__(self, network: ov.Model, *, precision: str, threads: int) -> None:
        self.precision = precision
        hints = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # the cores are shared with decoding threads
        }
        self._local = threading.local()

        def start() -> None:
            self._compiled = ov.Core().compile_model(network, "CPU", hints)
            # The binding fills a static table of types at its first inference and lets go of the
            # GIL meanwhile: two threads whose first inferences meet there wait for ever.
            self.features(np.zeros(self._compiled.input(0).shape, np.uint8))

        _in_the_background(start)

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 (n, size, size, 3) to float32 (n, features)."""
        request = self._request()
        # The binding shares no memory that it could not write to.
        rows = [_row(request, crop[None]) for crop in np.require(crops, requirements=["C", "W"])]
        width = self._compiled.output(0).partial_shape[1].get_length()
        return np.stack(rows) if rows else np.empty((0, width), np.float32)

    def _request(self) -> ov.InferRequest:
        request: ov.InferRequest | None = getattr(self._local, "request", None)
        if request is None:
            request = self._compiled.create_infer_request()
            self._local.request = request
        return request


def _row(request: ov.InferRequest, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (1, size, size, 3) to float32 (features,).

    From tensor to tensor: handing over arrays and getting a dictionary takes .1 ms more, in which
    the binding holds the interpreter's lock.
    """
    request.infer(ov.Tensor(crop, shared_memory=True), share_inputs=True, share_outputs=True)
    return np.array(request.get_output_tensor().data[0], dtype=np.float32)


def _in_the_background(start: Callable[[], None]) -> None:
    """Run it in a thread of low priority, which the threads that it starts inherit.

    OpenVINO infers in threads of its own. They never hold the interpreter's lock, so whoever does
    goes first on a busy core: a search is a few milliseconds, an image three times as many.
    """
    with ThreadPoolExecutor(1, "openvino-start", initializer=_lower_priority) as starter:
        starter.submit(start).result()


def _lower_priority() -> None:
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            niceness = os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS
            os.setpriority(os.PRIO_PROCESS, thread, niceness)  # above 19 it is 19


def open_openvino(
    source: ModelSource, *, precision: str, threads: int, cache: Path
) -> OpenVinoRuntime:
    """The runtime of a model, converted by a child process once and then read from `cache`.

    Raises:
        SettingsInvalid: the model's files do not fit.
        RefusedToStart: its weights cannot be downloaded, or it cannot be converted.
    """
    directory = cache / _cache_key(source)
    network = _cached(directory) or _converted(source, directory)
    return OpenVinoRuntime(network, precision=precision, threads=threads)


def _cache_key(source: ModelSource) -> str:
    parts = (str(_CONVERSION), ov.get_version(), source.model, source.weights_id)
    shape = (repr(source.normalisation), str(source.framing.size))
    card = () if source.encoder is None else (repr(source.encoder),)
    return hashlib.sha256("|".join((*parts, *shape, *card)).encode()).hexdigest()[:32]


def _cached(directory: Path) -> ov.Model | None:
    """The kept network, if its files are those that were written."""
    try:
        expected = json.loads((directory / _SUMS).read_text())
        if expected != _sums(directory):
            return None
    except (OSError, ValueError):
        return None
    return ov.Core().read_model(directory / XML)


def _sums(directory: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in (XML, BIN)
    }


def _converted(source: ModelSource, directory: Path) -> ov.Model:
    """The network converted now, and kept in the cache where that can be written to."""
    with tempfile.TemporaryDirectory(prefix="sightline-network-") as scratch:
        written = Path(scratch)
        convert_in_child(source, written)
        _keep(written, directory)
        # It is mapped into memory, where it stays readable after the files have gone.
        return ov.Core().read_model(written / XML)


def _keep(written: Path, directory: Path) -> None:
    """Copy beside the cache's entry, then rename: readers see all or nothing."""
    with contextlib.suppress(OSError):  # no cache is slower to start, not wrong
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
            copy = Path(scratch) / "network"
            shutil.copytree(written, copy)
            (copy / _SUMS).write_text(json.dumps(_sums(copy)))
            if directory.exists():
                directory.replace(Path(scratch) / "stale")
            copy.replace(directory)
