"""The state of a network's training as a file: what a killed process needs to go on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sightline.engine.regular_files import need_regular
from sightline.training.backbone.settings import BackboneSettings
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.loop.adamw import Adapted
from sightline.training.loop.checkpoint import StaleCheckpoint
from sightline.training.loop.head import write_whole

Floats = NDArray[np.float32]
_PARTS = ("weights", "first", "second")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """What there is after so many steps."""

    adapted: Mapping[str, Adapted]
    """Each trained tensor with its running means, by its name."""
    losses: Floats
    """(steps,) so far."""
    shares: Floats
    """(steps,) share of candidates that were masked, so far."""

    @property
    def steps(self) -> int:
        """Counts the steps that are done already."""
        return len(self.losses)

    @classmethod
    def begin(cls, weights: Mapping[str, Tensor]) -> State:
        """The state before the first step, with nothing learnt yet."""
        nothing = np.empty(0, np.float32)
        adapted = {
            name: Adapted(value, torch.zeros_like(value), torch.zeros_like(value))
            for name, value in weights.items()
        }
        return cls(adapted=adapted, losses=nothing, shares=nothing)

    def then(self, adapted: Mapping[str, Adapted], *, loss: float, share: float) -> State:
        """The state with one step more behind it."""
        return State(
            adapted=adapted,
            losses=np.append(self.losses, np.float32(loss)),
            shares=np.append(self.shares, np.float32(share)),
        )

    def save(self, path: Path, *, inputs: str) -> None:
        """Write it whole or not at all; `inputs` names what is trained on (`inputs_digest`)."""
        tensors = {
            f"{part}/{name}": getattr(one, part).cpu().contiguous()
            for name, one in self.adapted.items()
            for part in _PARTS
        }
        curve = {name: torch.from_numpy(getattr(self, name)) for name in ("losses", "shares")}
        write_whole(path, save({**tensors, **curve}, metadata={"inputs": inputs}))

    @classmethod
    def load(cls, path: Path, *, inputs: str, device: torch.device) -> State | None:
        """What was saved; None: nothing.

        Raises:
            StaleCheckpoint: unreadable, or of another training.
        """
        if not path.exists():
            return None
        try:
            need_regular(path)
            with safe_open(path, framework="pt", device=str(device)) as file:
                if (file.metadata() or {}).get("inputs") != inputs:
                    raise StaleCheckpoint(
                        f"{path} is of a training on other data or with other settings: remove it, "
                        "or name another folder"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise StaleCheckpoint(f"{path} cannot be read: {error}; remove it") from error
        losses, shares = (tensors[name].cpu().numpy() for name in ("losses", "shares"))
        names = [name.partition("/")[2] for name in tensors if name.startswith("weights/")]
        adapted = {name: Adapted(*(tensors[f"{p}/{name}"] for p in _PARTS)) for name in names}
        return cls(adapted=adapted, losses=losses, shares=shares)


def inputs_digest(
    pairs: ClickPairs,
    hashes: tuple[str, ...],
    weights: Mapping[str, Tensor],
    settings: BackboneSettings,
) -> str:
    """Names everything that the result follows from: lower hex SHA-256."""
    told = [asdict(settings), pairs.images, hashes]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for column in (
        *(pairs.anchor, pairs.positive, pairs.negative_starts, pairs.negatives, pairs.weight),
        *(value.detach().cpu().numpy() for value in weights.values()),
    ):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
