"""A network converted for OpenVINO, in a child process: torch never comes into the caller.

`python -m sightline.engine.embedding.conversion DIRECTORY` reads a model's source as JSON from its
input and writes `model.xml` and `model.bin`. In one process with torch, OpenVINO's binding reports
leaked objects at the exit, and the process keeps some 200 MiB that nothing uses any more.
"""

# ruff: noqa: PLC0415 - the parent process must not import torch

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sightline.engine.embedding import CONVERTER
from sightline.engine.embedding.encoder_card import CARDS
from sightline.engine.embedding.model_files import ModelSource
from sightline.engine.embedding.normalisation import Normalisation
from sightline.engine.errors import RefusedToStart, SettingsInvalid
from sightline.engine.records.framing import Framing

XML, BIN = "model.xml", "model.bin"
_REFUSALS = {kind.__name__: kind for kind in (RefusedToStart, SettingsInvalid)}
_REFUSED = 2


def convert_in_child(source: ModelSource, directory: Path) -> None:
    """Write `model.xml` and `model.bin` of a model into an existing directory: seconds of one core.

    Raises:
        SettingsInvalid: the model is unknown, or its files do not fit.
        RefusedToStart: its weights cannot be downloaded, or the child process failed.
    """
    done = subprocess.run(  # noqa: S603 - our own module, no shell
        [sys.executable, "-m", __name__, str(directory)],
        input=json.dumps(asdict(source), default=str).encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode == _REFUSED:
        refusal = json.loads(done.stdout)
        raise _REFUSALS[refusal["kind"]](refusal["message"])
    if done.returncode != 0:
        tail = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RefusedToStart(
            f"the model could not be converted for OpenVINO: exit code {done.returncode}: {tail}; "
            "embedder.runtime = torch-eager needs no conversion"
        )


def convert(source: ModelSource, directory: Path) -> None:
    """Write a network from uint8 (1, size, size, 3) to float32 (1, features); in this process."""
    import openvino as ov  # type: ignore[import-untyped]

    if source.encoder is None:
        network = _from_torch(source)
    else:
        from sightline.engine.embedding.onnx_encoder import encoder_network

        network = encoder_network(source)
    ov.save_model(network, directory / XML, compress_to_fp16=False)


def _from_torch(source: ModelSource) -> Any:
    if sys.modules[CONVERTER] is None:
        del sys.modules[CONVERTER]  # it was to be missing: see this package
    import openvino as ov
    import torch
    from openvino.tools.ovc import convert_model  # type: ignore[import-untyped]

    from sightline.engine.embedding.networks import build_network, from_crops

    network = from_crops(build_network(source.model, source.weights, source.normalisation))
    example = torch.zeros(1, source.framing.size, source.framing.size, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its own tracing deprecated
        # The converter's own tracing would check itself by a second one, two thirds of the work.
        traced = torch.jit.trace(network, example, strict=False, check_trace=False)  # type: ignore[no-untyped-call]
        return convert_model(
            traced, example_input=example, input=[ov.PartialShape(list(example.shape))]
        )


def _source(text: str) -> ModelSource:
    facts = json.loads(text)
    mean, std = (tuple(facts["normalisation"][name]) for name in ("mean", "std"))
    paths = {name: facts[name] and Path(facts[name]) for name in ("weights", "projection")}
    built = {
        "normalisation": Normalisation(mean, std),
        "framing": Framing(**facts["framing"]),
        "encoder": facts["encoder"] and CARDS.validate_python(facts["encoder"]),
    }
    return ModelSource(**facts | paths | built)


def main(directory: str) -> int:
    """Convert; a refusal goes to the parent as JSON."""
    try:
        convert(_source(sys.stdin.read()), Path(directory))
    except RefusedToStart as error:
        kind = SettingsInvalid if isinstance(error, SettingsInvalid) else RefusedToStart
        sys.stdout.write(json.dumps({"kind": kind.__name__, "message": str(error)}))
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
