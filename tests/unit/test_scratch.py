"""Tests write into memory only where there is plenty of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests import scratch


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 3 MiB free, and room in a folder."""
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:        9000 kB\nMemAvailable:    3072 kB\n")
    monkeypatch.setattr(scratch, "_MEMORY_INFO", told)
    return tmp_path


@pytest.mark.parametrize(("least_bytes", "roomy"), [(3 * 2**20, True), (3 * 2**20 + 1, False)])
def test_a_run_needs_room(
    memory: Path, monkeypatch: pytest.MonkeyPatch, least_bytes: int, *, roomy: bool
) -> None:
    """Where memory would run short, the tests write to the disk as ever."""
    monkeypatch.setattr(scratch, "_FREE_BYTES", least_bytes)
    assert scratch._is_roomy(memory) is roomy


def test_a_machine_without_such_a_folder_has_no_room(memory: Path) -> None:
    """Other systems have neither the folder nor the file that tells of the memory."""
    assert not scratch._is_roomy(memory / "none")


def test_a_run_removes_what_ended_ones_left(tmp_path: Path) -> None:
    """Memory does not fill up with what failed runs wrote; a run that goes on keeps its folder."""
    own, left = (tmp_path / f"sightline-tests-{pid}-x" for pid in (os.getpid(), 2**30))
    for folder in (own, left):
        (folder / "data").mkdir(parents=True)
    scratch._remove_left(tmp_path)
    assert list(tmp_path.iterdir()) == [own]


def test_compiled_headers_outlive_the_run(tmp_path: Path) -> None:
    """The folder of the run has them, and its removal leaves them."""
    compiled, folder = tmp_path / "torchinductor_ann", tmp_path / "run"
    folder.mkdir()
    scratch.keep_headers(compiled, folder)
    (folder / compiled.name / "header.h.gch").touch()
    shutil.rmtree(folder)
    assert (compiled / "header.h.gch").exists()
