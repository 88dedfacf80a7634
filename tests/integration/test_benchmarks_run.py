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


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_at_tiny_size(name: str, tmp_path: Path) -> None:
    """It ends well and writes figures that are numbers; what they are means nothing here."""
    command = [sys.executable, "-m", "benchmarks", "--tiny", "--results", str(tmp_path), name]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=patient(280), check=False
    )
    assert ended.returncode == 0, ended.stderr[-3_000:]
    figures = json.loads((tmp_path / f"{name}.json").read_text())["figures"]
    assert figures
    assert all(math.isfinite(figure["value"]) and figure["name"] for figure in figures)


def test_an_unknown_benchmark_is_named() -> None:
    """A wrong name ends with 2 and says what there is; tiny figures never replace real ones."""
    for arguments, words in ((["speed"], "no benchmark speed"), (["--tiny"], "--results")):
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=patient(60),
            check=False,
        )
        assert ended.returncode == 2
        assert words in ended.stderr
