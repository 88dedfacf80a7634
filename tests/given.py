"""Test data: what this machine has of the larger collections."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA_VARIABLE = "SIGHTLINE_TEST_DATA"


def given(name: str) -> Path | None:
    """A folder of the larger test data, where this machine has it.

    Raises:
        pytest.UsageError: `SIGHTLINE_TEST_DATA` names no folder.
    """
    root = Path(os.environ.get(DATA_VARIABLE) or ROOT.parent / "shared").resolve()
    if os.environ.get(DATA_VARIABLE) and not root.is_dir():
        raise pytest.UsageError(f"{DATA_VARIABLE}: {root} is no folder")
    folder = root / name
    return folder if folder.is_dir() else None
