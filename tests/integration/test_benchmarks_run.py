"""Each benchmark runs, at a size of seconds, so that none rots between releases."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES
from tests.conftest import ROOT
from tests.patience import patient

TIMEOUT_S = 280


def _run(*arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patient(timeout_s),
        check=False,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all of them write when one process measures them in turn, as `make bench` does."""
    folder = tmp_path_factory.mktemp("results")
    ended = _run("--tiny", "--results", str(folder), timeout_s=TIMEOUT_S * len(NAMES))
    assert ended.returncode == 0, ended.stderr[-3_000:]
    return folder


@pytest.mark.timeout(TIMEOUT_S * len(NAMES))  # the first one waits for all
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_at_tiny_size(name: str, results: Path) -> None:
    """It ends well and writes figures that are numbers; what they are means nothing here."""
    figures = json.loads((results / f"{name}.json").read_text())["figures"]
    assert figures
    assert all(math.isfinite(figure["value"]) and figure["name"] for figure in figures)


def test_an_unknown_benchmark_is_named() -> None:
    """A wrong name ends with 2 and says what there is; tiny figures never replace real ones."""
    for arguments, words in ((["speed"], "no benchmark speed"), (["--tiny"], "--results")):
        ended = _run(*arguments, timeout_s=60)
        assert ended.returncode == 2
        assert words in ended.stderr
