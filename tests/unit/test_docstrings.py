"""Docstrings say something at first reading: subject, verb, unit."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.imports import statements

ROOMS = ("schemas", "engine", "producers", "stream_workers", "search_api", "training", "infra")
MIN_WORDS = 7
REFERENCE = re.compile(r"See `\w+\.\w+`")
"""A method whose contract is its port's."""
FRAGMENT = re.compile(r"(Of|As|That|Also|To be|Until|None where)\b")


def _docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in (tree, *statements(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            text = ast.get_docstring(node)
            if text is not None:
                yield node.body[0].lineno, text


def _obscure(source: str) -> list[str]:
    """Which texts of a module begin with a fragment, and which docstrings have too few words."""
    tree = ast.parse(source)
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    texts = ((node.lineno, str(node.value)) for node in constants)
    fragments = [(n, text) for n, text in texts if FRAGMENT.match(text)]
    short = [
        (n, text)
        for n, text in _docstrings(tree)
        if len(text.split()) < MIN_WORDS and not REFERENCE.match(text)
    ]
    return [f"line {n}: {text}" for n, text in sorted({*fragments, *short})]


def test_docstrings_say_something() -> None:
    """A docstring has seven words or names its port's contract, and begins as a sentence does."""
    modules = sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))
    assert modules
    assert {file: found for file in modules if (found := _obscure(file.read_text()))} == {}


@pytest.mark.parametrize(
    "source",
    [
        '"""Wiring of adapters."""',
        'def close() -> None:\n    """Let go."""',
        'class A:\n    """Of a search, the page that it showed and its clicks."""',
        'class A:\n    size: int\n    """Of the whole upright picture, in pixels."""',
        'def name() -> str:\n    """As the settings name it, in lower case and without blanks."""',
        'def name() -> str:\n    """See `somewhere`."""',
        'class A:\n    shown: float\n    """That the next position is looked at, after it."""',
        'number("N", "Of hidden layers, how many there are.")',
    ],
)
def test_obscure_docstrings_are_found(source: str) -> None:
    """The check above sees short docstrings and fragments wherever they stand."""
    assert _obscure(source)


def test_references_to_a_port_may_be_short() -> None:
    """`See `Port.method`.` is enough where the contract is the port's."""
    assert _obscure('def now() -> int:\n    """See `Clock.now`."""') == []
