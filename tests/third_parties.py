"""Large packages that are not ours: each worker of a run imports them in another order."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from importlib import import_module

IMPORTED_BY_TESTS = (
    "duckdb",
    "faust",
    "openvino",
    "pandas",
    "playwright.sync_api",
    "pyarrow.compute",
    "pytorch_metric_learning.losses",
    "qdrant_client",
    "schemathesis",
    "scipy.stats",
    "sklearn.metrics",
    "torchvision",
)


def pytest_sessionstart() -> None:
    """Import them in a worker; what starts the workers needs none."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    with warnings.catch_warnings(action="ignore"):
        for name in _in_turn(IMPORTED_BY_TESTS):
            import_module(name)


def _in_turn(names: Sequence[str]) -> Sequence[str]:
    """The same from another place on in each worker.

    In a fresh environment a worker compiles what it is the first to import, and keeps it: each
    would compile all of it, 10 CPU-seconds, if all began at the same place.
    """
    number = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    first = number * len(names) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    return (*names[first:], *names[:first])
