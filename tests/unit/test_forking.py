"""Processes that the tests fork begin in one that all workers of a run share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.forking import Forked
from tests.patience import patient


def say_parent(_: str) -> None:
    """What it was forked from, to its standard output."""
    os.write(1, str(os.getppid()).encode())


def test_the_workers_share_what_forks(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """It was started by what this worker was forked from, and not by the worker."""
    forked_worker = request.config.pluginmanager.hasplugin("tests.forked_workers.plugin")
    if not forked_worker or "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("nobody to share it with")
    process = Forked(say_parent, "", tmp_path / "log")
    assert process.wait(patient(30)) == 0
    status = Path("/proc", process.log.read_text(), "status").read_text()
    assert f"PPid:\t{os.getppid()}\n" in status
