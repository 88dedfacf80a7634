"""Outside tools are fetched before the tests or beside them, and what is missing is named."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sightline.infra.local import prepare_tools
from sightline.infra.local.prepare_tools import ToolStep, prepare_all, prepare_while
from sightline.infra.local.toolchain import ToolMissing
from tests.patience import patient

SAY_WHAT_IS_GIVEN = "import sys; sys.exit(40 + len(sys.argv))"


def missing() -> Path:
    """A step that fails."""
    raise ToolMissing("install it")


def test_every_missing_tool_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One run tells all that is missing."""
    steps = {
        "A": ToolStep(missing, ""),
        "B": ToolStep(lambda: Path("b"), ""),
        "C": ToolStep(missing, ""),
    }
    assert prepare_all(steps) == 2
    told = sorted(capsys.readouterr().err.splitlines())
    assert told[0] == "A: install it"
    assert told[1].startswith("B: b (")
    assert told[2] == "C: install it"


def test_a_command_runs_beside_a_tool_that_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told so by one more argument, and a person is told what takes so long."""
    monkeypatch.setattr(prepare_tools, "_MOMENT_S", 0.02)
    ended = threading.Event()

    def slow() -> Path:
        ended.wait()
        return Path("built")

    code = prepare_while(
        [sys.executable, "-c", SAY_WHAT_IS_GIVEN], {"A": ToolStep(slow, "is built")}
    )
    ended.set()
    assert code == 42
    assert "A: is built …" in capsys.readouterr().err


def test_a_command_whose_tools_are_there_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does anybody hear of what takes no time; the exit code is the command's."""
    steps = {"A": ToolStep(lambda: Path("a"), "is built")}
    assert prepare_while([sys.executable, "-c", SAY_WHAT_IS_GIVEN], steps) == 41
    assert "is built" not in capsys.readouterr().err


STOP_BESIDE_A_SLOW_TOOL = """
import sys, threading
from sightline.infra.local import prepare_tools
from sightline.infra.local.prepare_tools import ToolStep, prepare_while
prepare_tools._MOMENT_S = 0.02
steps = {"A": ToolStep(threading.Event().wait, "slow")}
sys.exit(prepare_while([sys.executable, "-c", "pass"], steps))
"""


def test_the_end_of_the_command_is_the_end() -> None:
    """Nobody waits for a tool that no test needed."""
    ran = subprocess.run(
        [sys.executable, "-c", STOP_BESIDE_A_SLOW_TOOL], check=False, timeout=patient(20)
    )
    assert ran.returncode == 0
