"""Features of pictures on this machine's disk, so that no picture goes through a network twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from sightline.engine.private_files import make_private_folders, open_private
from sightline.schemas.searches import CropBox


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a network and the hash make of one picture."""

    features: NDArray[np.float32]
    """(f,)."""
    perceptual_hash: str
    """64 hex digits."""
    kept: bool = False
    """Whether it was read from a cache, and not made now."""


class FeatureCache:
    """One file per picture, by its bytes, its crop and what made the features.

    Safe between threads and processes: a file is written aside and renamed, and equal names hold
    equal bytes. What cannot be read counts as absent. Files are private, like the pictures.

    Args:
        folder: made if it is not there.
        network: names weights, preprocess, precision and runtime.
    """

    def __init__(self, folder: Path, network: str) -> None:
        self._folder = folder / hashlib.sha256(network.encode()).hexdigest()[:16]

    def get(self, sha256: str, crop: CropBox | None) -> Seen | None:
        """What is kept of a picture with these bytes; None: nothing that can be read."""
        try:
            tensors = load_file(self._path(sha256, crop))
            return Seen(tensors["features"], tensors["hash"].tobytes().hex(), kept=True)
        except (OSError, SafetensorError, KeyError):
            return None

    def put(self, sha256: str, crop: CropBox | None, seen: Seen) -> None:
        """Keep what was made of a picture; a repeat changes nothing."""
        path = self._path(sha256, crop)
        make_private_folders(path.parent)
        tensors: dict[str, NDArray[Any]] = {
            "features": np.ascontiguousarray(seen.features),
            "hash": np.frombuffer(bytes.fromhex(seen.perceptual_hash), np.uint8),
        }
        draft = path.with_name(f"{path.name}.{token_hex(8)}")
        try:
            with open_private(draft) as file:
                file.write(save(tensors))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _path(self, sha256: str, crop: CropBox | None) -> Path:
        told = json.dumps([sha256, None if crop is None else crop.model_dump()], sort_keys=True)
        name = hashlib.sha256(told.encode()).hexdigest()
        return self._folder / name[:2] / f"{name[2:]}.safetensors"
