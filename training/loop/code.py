"""What trains: the modules of this room, by their hash, and the libraries that compute."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch

_ROOM = Path(__file__).parents[1]


def code_record() -> dict[str, str | int]:
    """Name everything but data and settings that a trained head's bytes depend on."""
    return {
        "training_sha256": _modules_digest(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "cores": len(os.sched_getaffinity(0)),
    }


def _modules_digest() -> str:
    """SHA-256 over the room's modules, in the order of their names."""
    digest = hashlib.sha256()
    for module in sorted(_ROOM.rglob("*.py")):
        digest.update(module.relative_to(_ROOM).as_posix().encode() + b"\0" + module.read_bytes())
    return digest.hexdigest()
