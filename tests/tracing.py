"""What is traced, for coverage: most of the tests, and the imports of one worker.

Each worker of a run imports all test modules, and with them all of ours: it suffices to trace one.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from importlib import import_module

import pytest
from coverage import Coverage
from hypothesis import is_hypothesis_test

TRACED_CASES = 2
"""Of a parametrised test: others run the same lines with other values. Where adapters are the
parameters, in the contract suites, each of them is traced."""
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
"""Large ones that are not ours: tracing nearly doubles the 7 CPU-seconds that it takes to import
them."""
READ_TEXT = (
    "test_docs.py",
    "test_docstrings.py",
    "test_import_law.py",
    "test_packaging.py",
    "test_patience.py",
    "test_public_names.py",
)
_FIRST_WORKER = "gw0"


def _tracer(config: pytest.Config) -> Coverage | None:
    """What traces this process, where anything does; not that which only starts the workers."""
    plugin = config.pluginmanager.getplugin("_cov")
    if not plugin or not plugin.cov_controller or config.getoption("numprocesses", None):
        return None
    tracer: Coverage = plugin.cov_controller.cov
    return tracer


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Import what is not ours untraced, and in one worker what is ours traced."""
    tracer = _tracer(session.config)
    if tracer is None:
        return
    tracer.stop()
    with warnings.catch_warnings(action="ignore"):
        for name in _in_turn(IMPORTED_BY_TESTS):
            import_module(name)
    if os.environ.get("PYTEST_XDIST_WORKER", _FIRST_WORKER) == _FIRST_WORKER:
        tracer.start()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Trace the tests in all workers."""
    tracer = _tracer(session.config)
    if tracer is not None:
        tracer.stop()
        tracer.start()


def _in_turn(names: Sequence[str]) -> Sequence[str]:
    """The same from another place on in each worker of a run.

    In a fresh environment a worker compiles what it is the first to import, and keeps it: each
    would compile all of it, 10 CPU-seconds, if all began at the same place.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", _FIRST_WORKER).removeprefix("gw"))
    first = number * len(names) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return (*names[first:], *names[:first])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Choose which tests are traced."""
    cases = Counter[object]()
    for item in items:
        function = getattr(item, "function", None)
        cases[function] += 1
        further = cases[function] > TRACED_CASES and not item.nodeid.startswith("tests/contract/")
        if further or _reaches_little(item):
            item.add_marker("no_cover")


def _reaches_little(item: pytest.Item) -> bool:
    """Whether tracing would add more than half to its time and tell nearly nothing.

    What runs the same lines thousands of times, which other tests run once; what waits for other
    processes; and what only reads the text of the checkout.
    """
    return (
        item.nodeid.startswith(("tests/chaos/", "tests/e2e/"))
        or item.path.name in READ_TEXT
        or is_hypothesis_test(getattr(item, "function", None))
    )
