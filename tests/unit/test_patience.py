"""No test depends on how fast the machine is, or on how long ago it was collected."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import patience
from tests.conftest import ROOT
from tests.waiting import eventually

MODULES = sorted((ROOT / "tests").rglob("*.py"))
LONG_S = 5
"""Bounds from here on are there for what hangs; shorter ones are a part of what is tested."""
BOUNDED = {"wait", "join", "result", "timeout"}
CLOCKS = {"now", "time", "monotonic", "perf_counter", "utcnow", "today"}


LASTING = {"tests/hostile_requests.py"}
"""Dated all the same: a search id that holds for a day, which no run takes."""


def place(path: Path) -> str:
    """Where a module lies in the checkout."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_a_long_wait_asks_how_patient_to_be(path: Path) -> None:
    """`process.wait(60)`, `future.result(30)` and `timeout=120` say `patient(…)` instead."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [line for call in _calls(tree) for line in _impatient(call)] == []


@pytest.mark.parametrize("path", [p for p in MODULES if place(p) not in LASTING], ids=place)
def test_nothing_is_dated_when_it_is_collected(path: Path) -> None:
    """What is made at import and in decorators knows no time: the test may run much later."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    dated = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(map(_asks_a_clock, _calls(node)))
    }
    early = [call for part in _at_import(tree) for call in _eager(part)]
    assert [
        f"line {call.lineno}: {ast.unparse(call)}"
        for call in early
        if _asks_a_clock(call) or _name(call) in dated
    ] == []


def test_patience_stretches_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after the deadline of a quiet machine comes in time on a slow one."""
    monkeypatch.setenv(patience.VARIABLE, "1000")
    begun = time.monotonic()
    assert eventually(lambda: time.monotonic() - begun > 0.05, timeout_s=0.001)
    assert patience.patient(2) == 2_000


def test_an_idle_machine_has_some_patience_too() -> None:
    """It is never less than twice the time that a quiet machine takes."""
    assert 2 <= patience._measured() <= 30


def _calls(tree: ast.AST) -> list[ast.Call]:
    """Every call in it."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _eager(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls that happen when a statement runs: those inside a lambda or a function do not."""
    if isinstance(tree, ast.Call):
        yield tree
    if not isinstance(tree, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef):
        for child in ast.iter_child_nodes(tree):
            yield from _eager(child)


def _impatient(call: ast.Call) -> Iterator[str]:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "timeout"]
    given = call.args[:1] if _name(call) in BOUNDED else []
    # A mark is stretched when tests are collected.
    if ast.unparse(call.func).startswith("pytest.mark"):
        return
    for value in named + given:
        bound = value.value if isinstance(value, ast.Constant) else None
        if isinstance(bound, int | float) and bound >= LONG_S:
            yield f"line {call.lineno}: {ast.unparse(call)}: say patient({bound})"


def _asks_a_clock(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in CLOCKS


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def _at_import(tree: ast.Module) -> Iterator[ast.AST]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from node.decorator_list
        else:
            yield node
