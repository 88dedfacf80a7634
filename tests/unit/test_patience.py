"""No test depends on how fast the machine is, or on how long ago it was collected."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import patience
from tests.conftest import ROOT
from tests.waiting import eventually

MODULES = sorted((ROOT / "tests").rglob("*.py"))
LONG_S = 5
"""Bounds from here on are there for what hangs; shorter ones are a part of what is tested."""
BOUNDED = {
    *("wait", "join", "result", "timeout"),
    *("flush", "init_transactions", "commit_transaction", "abort_transaction"),
}
"""Their first argument is the bound."""
CLOCKS = {"now", "time", "monotonic", "perf_counter", "utcnow", "today"}


QUERIED = re.compile(rb"[?&]timeout_s=(\d+(?:\.\d+)?)")
"""How long the API is asked to wait, in an address."""

LASTING = {"tests/hostile_requests.py"}
"""Dated all the same: a search id that holds for a day, which no run takes."""


def place(path: Path) -> str:
    """Where a module lies in the checkout."""
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    """A module of the tests, parsed once."""
    return ast.parse(path.read_text(encoding="utf-8"))


def test_a_long_wait_asks_how_patient_to_be() -> None:
    """`process.wait(60)`, `future.result(30)` and `timeout=120` say `patient(…)` instead."""
    found = {place(path): sorted(set(_impatient(tree(path), {}))) for path in MODULES}
    assert {path: waits for path, waits in found.items() if waits} == {}


@pytest.mark.parametrize(
    "said",
    [
        "a.wait(5)",
        "run(timeout=60.0)",
        "LONG_S = 20\na.result(LONG_S)",
        "LONG_S: float = 20.0\ndef f():\n    wait_for(a, LONG_S)",
        "def f(bound_s=20.0):\n    a.join(bound_s)",
        "def f(*, bound_s: float = 20.0):\n    def g():\n        a.join(bound_s)",
        "await to_thread(a.wait, 20)",
        "a.put('/i?wait=searchable&timeout_s' '=20')",
        "a.put(f'/{i}?timeout_s' '=20')",
        "a.put(b'/i?timeout_s' b'=20')",
    ],
)
def test_a_bound_is_seen_wherever_it_stands(said: str) -> None:
    """In the call, in a constant of the module, or in a default of the function around it."""
    assert list(_impatient(ast.parse(said), {}))


@pytest.mark.parametrize(
    "said",
    [
        "a.wait(4)",
        "a.wait(patient(60))",
        "LONG_S = 20\na.wait(patient(LONG_S))",
        "LONG_S = 20\neventually(a, timeout_s=LONG_S)",
        "a.put('/i?timeout_s' '=0.5')",
        "a.put(f'/i?timeout_s={min(60, patient(20))}')",
        "def f(bound_s=20.0):\n    pass\ndef g(bound_s):\n    a.join(bound_s)",
    ],
)
def test_a_patient_bound_is_let_be(said: str) -> None:
    """And so is a short one."""
    assert not list(_impatient(ast.parse(said), {}))


def test_nothing_is_dated_when_it_is_collected() -> None:
    """What is made at import and in decorators knows no time: the test may run much later."""
    found = {place(path): _dated(tree(path)) for path in MODULES if place(path) not in LASTING}
    assert {path: calls for path, calls in found.items() if calls} == {}


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


def _dated(tree: ast.Module) -> list[str]:
    """Each call that asks a clock, itself or by a function of the module, while it is imported."""
    dated = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(map(_asks_a_clock, _calls(node)))
    }
    return [
        f"line {call.lineno}: {ast.unparse(call)}"
        for part in _at_import(tree)
        for call in _eager(part)
        if _asks_a_clock(call) or _name(call) in dated
    ]


def _impatient(tree: ast.AST, around: dict[str, ast.expr]) -> Iterator[str]:
    """Each call whose bound is long and fixed, where names of `around` stand for their values."""
    known = around | dict(_named(tree))
    for child in ast.iter_child_nodes(tree):
        yield from _impatient(child, known)
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str | bytes):
        yield from _asked_of_the_api(tree.value, tree.lineno)
    if isinstance(tree, ast.Call):
        for said in _bounds(tree):
            value = known.get(said.id) if isinstance(said, ast.Name) else said
            bound = value.value if isinstance(value, ast.Constant) else None
            # A mark is stretched when tests are collected.
            marks = ast.unparse(tree.func).startswith("pytest.mark")
            if isinstance(bound, int | float) and bound >= LONG_S and not marks:
                yield f"line {tree.lineno}: {ast.unparse(tree)}: say patient({ast.unparse(said)})"


def _asked_of_the_api(text: str | bytes, line: int) -> Iterator[str]:
    """Each long wait that an address in the text asks for."""
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    for seconds in QUERIED.findall(data):
        if float(seconds) >= LONG_S:
            yield f"line {line}: timeout_s={seconds.decode()}: say patient(…)"


def _named(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """What names stand for in a module, by its assignments, or in a function, by its defaults."""
    if isinstance(tree, ast.Module):
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                yield node.targets[0].id, node.value
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
                yield node.target.id, node.value
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        given = [*tree.args.posonlyargs, *tree.args.args]
        defaults = [None] * (len(given) - len(tree.args.defaults)) + tree.args.defaults
        for arg, value in zip(
            given + tree.args.kwonlyargs, [*defaults, *tree.args.kw_defaults], strict=True
        ):
            yield arg.arg, value or ast.Constant(None)


def _bounds(call: ast.Call) -> Iterator[ast.expr]:
    yield from (keyword.value for keyword in call.keywords if keyword.arg == "timeout")
    if _name(call) in BOUNDED:
        yield from call.args[:1]
    if _name(call).endswith("wait_for") or (
        _name(call).endswith("to_thread")
        and isinstance(call.args[0], ast.Attribute)
        and call.args[0].attr in BOUNDED
    ):
        yield from call.args[1:2]


def _asks_a_clock(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in CLOCKS


def _name(call: ast.Call) -> str:
    """The last of the name that is called; of what has none, its text."""
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ast.unparse(call.func)


def _at_import(tree: ast.Module) -> Iterator[ast.AST]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from node.decorator_list
        else:
            yield node
