"""Sound files of trainings and evaluations: how each is read, its bytes, and what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save

from sightline.engine.embedding.embedder import load_projection
from sightline.engine.settings import EmbedderSettings
from sightline.infra.commands.learning.measured_on import _lines
from sightline.infra.commands.learning.photo_set import PhotoSet
from sightline.infra.commands.models import Released
from sightline.training.loop.checkpoint import Checkpoint
from sightline.training.loop.head import Head
from sightline.training.loop.run_folder import PictureKind, read_kinds, read_record
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.settings_file import read_settings
from sightline.training.models.candidates import is_head


class Sample(NamedTuple):
    """A sound file: how it is read, its bytes, and what they say."""

    read: Callable[[Path], object]
    sound: bytes
    value: object


def _tensors(**named: object) -> bytes:
    return save({name: np.asarray(value, np.float32) for name, value in named.items()})


RUN = {"start": {"weights": "w"}, "settings": {"head": {"seed": 5}}}
HEAD = _tensors(mean=[0, 0], base=[[1, 0], [0, 1]], change=[[5, 0], [0, 0]])
STATE = ("residual", "first_moment", "second_moment", "losses", "shares")
CHECKPOINT = save({name: np.zeros(1, np.float32) for name in STATE}, metadata={"inputs": "x"})


def _steps(file: Path) -> int:
    found = Checkpoint.load(file, inputs="x")
    return -1 if found is None else found.steps


TRAINED = {
    "settings.json": Sample(
        read_settings, b'{"temperature": 0.5, "steps": 1}', HeadSettings(temperature=0.5, steps=1)
    ),
    "run.json": Sample(
        lambda file: read_record(file.parent), json.dumps(RUN, indent=1).encode(), RUN
    ),
    "pictures.csv": Sample(
        lambda file: read_kinds(file.parent),
        b"image,cluster,held_out,aside\na.jpg,1,0,1\n",
        {"a.jpg": PictureKind(1, held_out=False, aside=True)},
    ),
    "head.safetensors": Sample(lambda file: Head.load(file).change.sum().item(), HEAD, 5.0),
    "any.safetensors": Sample(is_head, HEAD, value=True),
    "projection.safetensors": Sample(
        lambda file: load_projection(file).matrix.sum().item(),
        _tensors(mean=[0, 0], matrix=[[1, 0], [0, 4]]),
        5.0,
    ),
    "checkpoint.safetensors": Sample(_steps, CHECKPOINT, 1),
    "clicked.txt": Sample(_lines, b"\xef\xbb\xbfdogs\r\n\r\n cats\n", ["dogs", "cats"]),
    "manifest.csv": Sample(
        lambda file: PhotoSet(file.parent, EmbedderSettings()).labels.tolist(),
        b"\xef\xbb\xbfimage,label,split\r\na.jpg,private,query\r\nb.jpg,x,gallery\r\n",
        ["private"],
    ),
    "metrics.json": Sample(
        lambda file: Released.of_run(file.parent, "m").metrics, b'{"mAP": 0.5}', {"mAP": 0.5}
    ),
}
"""By the name that the file has."""
