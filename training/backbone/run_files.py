"""A trained network in, its folder out.

::

    weights.safetensors      every tensor of the network, as `embedder.weights` takes them
    projection.safetensors   mean and matrix, as `embedder.projection` takes them
    run.json                 what it follows from, and what was counted
    pictures.csv             each picture's kind, and whether that kind, or it, was kept out
    curve.csv                loss and share of masked candidates, step by step
    curve.svg                the same loss, drawn

`run.json` is written last: a folder without it is a run that did not end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save as save_tensors

from sightline.engine.embedding.projections import projection_bytes
from sightline.training.backbone.training import TrainedBackbone
from sightline.training.datasets.splits import HeldOut
from sightline.training.loop.head import write_whole
from sightline.training.loop.run_folder import CHECKPOINT, RECORD, write_curve, write_kinds

WEIGHTS, PROJECTION = "weights.safetensors", "projection.safetensors"


def end_backbone_run(
    folder: Path,
    trained: TrainedBackbone,
    images: Sequence[str],
    held_out: HeldOut | None,
    record: Mapping[str, Any],
) -> None:
    """Write every file, the record last, and remove the checkpoint.

    Args:
        folder: begun by `begin_run`.
        trained: what came out.
        images: ids of the pictures that were looked at.
        held_out: what was kept out of them; None: nobody asked.
        record: what it follows from.
    """
    tensors = {name: value.contiguous() for name, value in trained.network.items()}
    write_whole(folder / WEIGHTS, save_tensors(tensors))
    write_whole(folder / PROJECTION, projection_bytes(trained.projection))
    write_kinds(folder, images, held_out)
    write_curve(folder, trained.curve)
    write_whole(folder / RECORD, json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")
    (folder / CHECKPOINT).unlink(missing_ok=True)
