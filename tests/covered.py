"""What the tests execute of our rooms, by lines and branches, and its floor: `-p tests.covered`.

Slipcover writes probes into modules as they are imported and takes out those that were hit
(Altmayer Pizzorno and Berger, "Near Zero-Overhead Python Code Coverage", ISSTA 2023). The tracer of
Python 3.11 doubles what tests cost. Processes that tests start are not measured.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from slipcover import Slipcover, merge_coverage

from tests.probes import ROOT, put_probes

REPORT = ROOT / "build" / "coverage.json"
FLOOR_PERCENT = 90.0
"""Of all lines and branches, where all tests run. It only rises."""

_MEASURED = pytest.StashKey[Slipcover]()
_FOUND = pytest.StashKey[dict[str, Any]]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Put probes into what is imported from now on, unless this process only starts the workers."""
    several = getattr(early_config.known_args_namespace, "numprocesses", None)
    if several and "PYTEST_XDIST_WORKER" not in os.environ:
        return
    early_config.stash[_MEASURED] = put_probes()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's coverage to who started it; there, hold the floor."""
    config = session.config
    measured = config.stash.get(_MEASURED, None)
    if measured is not None:
        _add(config, measured.get_coverage())
    found = config.stash.get(_FOUND, None)
    if found is None:
        return
    if hasattr(config, "workeroutput"):
        config.workeroutput["coverage"] = json.dumps(found)
    elif _is_whole(config) and _percent(found) < FLOOR_PERCENT:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker hands over; one that crashed hands over nothing."""
    told = getattr(node, "workeroutput", {}).get("coverage")
    if told:
        _add(node.config, json.loads(told))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell the one number, and write by file what is missing."""
    found = config.stash.get(_FOUND, None)
    if found is None:
        return
    REPORT.write_text(json.dumps(found))
    of = f" of at least {FLOOR_PERCENT:g} %" if _is_whole(config) else ""
    terminalreporter.section("coverage")
    terminalreporter.line(f"{_percent(found):.2f} % of lines and branches{of}")


def _add(config: pytest.Config, found: dict[str, Any]) -> None:
    before = config.stash.setdefault(_FOUND, found)
    if before is not found:
        merge_coverage(before, found)


def _percent(found: dict[str, Any]) -> float:
    percent: float = found["summary"]["percent_covered"]
    return percent


def _is_whole(config: pytest.Config) -> bool:
    """Whether nothing was chosen from the tests."""
    chosen = config.option.keyword or config.option.markexpr
    return not chosen and config.args_source is pytest.Config.ArgsSource.TESTPATHS
