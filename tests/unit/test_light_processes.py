"""Processes of ours that start often: they import no more than they use, and end at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.infra.cli import quick_start

MODULE = "sightline.engine.vector_index.edge.optimise_shard"
HEAVY = ("numpy", "pydantic", "sightline.schemas", "sightline.engine.vector_index.edge.optimiser")


def test_the_child_that_builds_a_graph_imports_the_library_alone() -> None:
    """Each graph is built by a process of its own; a small one takes less than the imports did."""
    code = f"import sys, {MODULE}; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = ended.stdout.split()
    assert "qdrant_edge" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_it_touches_nothing_once_its_owner_is_gone(tmp_path: Path) -> None:
    """Killed before the child asks to be told, the owner has left what its successor removes."""
    for owner, code in ((os.getpid() + 1, 0), (os.getpid(), 1)):
        command = [sys.executable, "-m", MODULE, str(tmp_path / "no shard"), str(owner)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == code


def test_a_command_that_ends_looks_for_no_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever way it ends; a command leaves by `SystemExit`."""
    called: list[str] = []
    for name in ("look_for_garbage_seldom", "never_look_for_garbage_again"):
        monkeypatch.setattr(quick_start, name, lambda name=name: called.append(name))
    monkeypatch.setattr(sys, "argv", ["sightline", "--version"])
    with pytest.raises(SystemExit):
        quick_start.main()
    assert called == ["look_for_garbage_seldom", "never_look_for_garbage_again"]
