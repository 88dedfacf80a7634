"""Sound files of trainings, evaluations and models: how each is read, its bytes, what they say."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save

from sightline.engine.embedding import model_registry
from sightline.engine.embedding.encoder_card import EncoderCard, read_card
from sightline.engine.embedding.model_registry import (
    LINEAGE,
    METRICS,
    ModelConfig,
    ModelRegistry,
    checked_config,
    digest_of,
    encoded,
    release_key,
)
from sightline.engine.embedding.projections import load_linear
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.regular_files import OverBound, read_bounded
from sightline.engine.settings import EmbedderSettings, Settings
from sightline.infra.commands.learning.measured_on import clicked_labels
from sightline.infra.commands.learning.photo_set import PhotoSet
from sightline.infra.commands.models import ModelCommands, Released, ShownModel
from sightline.schemas.documents.examples import example
from sightline.training.loop.checkpoint import Checkpoint
from sightline.training.loop.head import Head
from sightline.training.loop.run_folder import PictureKind, read_kinds, read_record
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.settings_file import read_settings
from sightline.training.models.candidates import is_head
from sightline.training.models.registry import NewModel, store_model
from tests.onnx_files import CARD


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


CONFIGURED = ModelConfig(
    name="shop", network="n", network_weights="w", preprocess="p", dimensions=8, files={}
)
RUN_TOLD = {"run": {"seed": 5}}
RELEASED = example("sightline.model.released.v1")


def _document(file: Path) -> bytes:
    """Of a bucket: no pipe and no gap lies there."""
    with contextlib.suppress(OSError, OverBound):
        return read_bounded(file, 2**20)
    return b""


def _config(file: Path) -> ModelConfig:
    data = _document(file)
    return checked_config(data, name="shop", digest=digest_of(data))


def _release(file: Path) -> object:
    store = MemoryObjectStore("sightline")
    store.put("sightline", release_key("shop", 1), _document(file))
    return ModelRegistry(store, "sightline").newest("shop")


def shown(metrics: bytes, lineage: bytes) -> ShownModel:
    """What `models show` makes of these documents of a registered model."""
    store = MemoryObjectStore("sightline")
    new = NewModel(
        name="shop",
        network="n",
        network_weights="w",
        preprocess="p",
        dimensions=8,
        files={METRICS: metrics, LINEAGE: lineage, model_registry.CARD: b"# shop"},
    )
    digest = store_model(store, "sightline", new)
    return ModelCommands(Settings(), store).show(f"shop@{digest}")


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
        lambda file: load_linear(file).matrix.sum().item(),
        _tensors(mean=[0, 0], matrix=[[1, 0], [0, 4]]),
        5.0,
    ),
    "checkpoint.safetensors": Sample(_steps, CHECKPOINT, 1),
    "clicked.txt": Sample(
        clicked_labels, b"\xef\xbb\xbfdogs\r\n\r\n cats\t30\n", {"dogs": 0, "cats": 30}
    ),
    "manifest.csv": Sample(
        lambda file: PhotoSet(file.parent, EmbedderSettings()).labels.tolist(),
        b"\xef\xbb\xbfimage,label,split\r\na.jpg,private,query\r\nb.jpg,x,gallery\r\n",
        ["private"],
    ),
    "metrics.json": Sample(
        lambda file: Released.of_run(file.parent, "m").metrics, b'{"mAP": 0.5}', {"mAP": 0.5}
    ),
    "encoder.toml": Sample(
        read_card,
        CARD.encode(),
        EncoderCard(
            input_size=16,
            mean=(0.4, 0.5, 0.6),
            std=(0.2, 0.25, 0.5),
            pooling="mean-map",
            features=5,
        ),
    ),
    "config.json": Sample(_config, encoded(CONFIGURED), CONFIGURED),
    "000001.json": Sample(_release, RELEASED.encode(), RELEASED),
    "lineage.json": Sample(
        lambda file: shown(b"{}", _document(file)).lineage, b'{"run": {"seed": 5}}', RUN_TOLD
    ),
}
"""By the name that the file has."""
