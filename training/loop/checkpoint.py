"""The state of a training as a file: what a killed process needs to go on as if it had not died."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from sightline.engine.embedding.projections import UNREADABLE, Projection
from sightline.engine.errors import SettingsInvalid
from sightline.engine.regular_files import need_regular
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.loop.head import write_whole
from sightline.training.loop.settings import HeadSettings
from sightline.training.tracking import Say

Result = TypeVar("Result")
Floats = NDArray[np.float32]
_TENSORS = ("residual", "first_moment", "second_moment", "losses", "shares")


class StaleCheckpoint(SettingsInvalid):
    """A checkpoint is of a training on other data or with other settings, or cannot be read."""


def anew_where_stale(checkpoint: Path, learning: Callable[[], Result], say: Say) -> Result:
    """Go on from the checkpoint; begin again where what there is to learn from has changed."""
    try:
        return learning()
    except StaleCheckpoint:
        say("what there is to learn from has changed since the kill: it begins again")
        checkpoint.unlink(missing_ok=True)
        return learning()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """What there is after so many steps; batches follow from the seed and the step's number."""

    residual: Floats
    """(layers, d, d) weights."""
    first_moment: Floats
    """(layers, d, d) AdamW's mean of gradients."""
    second_moment: Floats
    """(layers, d, d) AdamW's mean of squared gradients."""
    losses: Floats
    """(steps,) so far."""
    shares: Floats
    """(steps,) share of negatives that were masked, so far."""

    @property
    def steps(self) -> int:
        """Counts the steps that are done already."""
        return len(self.losses)

    def save(self, path: Path, *, inputs: str) -> None:
        """Write it whole or not at all; `inputs` names what is trained on (`inputs_digest`)."""
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in _TENSORS}
        write_whole(path, save(tensors, metadata={"inputs": inputs}))

    @classmethod
    def load(cls, path: Path, *, inputs: str) -> Checkpoint | None:
        """What was saved; None: nothing.

        Raises:
            StaleCheckpoint: unreadable, or of another training.
        """
        if not path.exists():
            return None
        try:
            need_regular(path)
            with safe_open(path, framework="numpy") as file:
                if (file.metadata() or {}).get("inputs") != inputs:
                    raise StaleCheckpoint(
                        f"{path} is of a training on other data or with other settings: remove it, "
                        "or name another folder"
                    )
                return cls(**{name: file.get_tensor(name) for name in _TENSORS})
        except UNREADABLE as error:
            raise StaleCheckpoint(f"{path} cannot be read: {error}; remove it") from error


def inputs_digest(
    pairs: ClickPairs, features: PictureFeatures, start: Projection, settings: HeadSettings
) -> str:
    """Names everything that a trained head follows from: lower hex SHA-256."""
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    digest.update(json.dumps([pairs.images, features.images, features.hashes]).encode())
    for column in (
        *(pairs.anchor, pairs.positive, pairs.negative_starts, pairs.negatives, pairs.weight),
        *(features.features, start.mean, start.matrix),
    ):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
