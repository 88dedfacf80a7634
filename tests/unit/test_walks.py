"""The three walks of docs/walks.md name functions that are there, and stay short enough to read."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "walks.md").read_text(encoding="utf-8")
_, UPLOAD, CLICK, MODEL = re.split(r"^## .*$", PAGE, flags=re.MULTILINE)
PLACE = re.compile(r"`([a-z_]+/[\w/]+\.(?:py|js))(?::([\w.]+))?`")
MOST_FILES = 40
"""What a newcomer reads to follow one thing from its beginning to its end."""


def places(walk: str) -> list[tuple[str, str]]:
    """Files with the names that the walk gives in them, in order."""
    return [(path, name) for path, name in PLACE.findall(walk)]


def names_in(path: Path) -> set[str]:
    """The classes and functions of a module, methods as `Class.method`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (
                n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


@pytest.mark.parametrize(
    ("path", "name"), sorted({*places(UPLOAD), *places(CLICK), *places(MODEL)})
)
def test_each_step_is_where_the_walk_says(path: str, name: str) -> None:
    """A renamed function is renamed on the page too."""
    file = ROOT / path
    assert file.is_file()
    if name:
        assert name in names_in(file)


@pytest.mark.parametrize("walk", [UPLOAD, CLICK, MODEL], ids=["upload", "click", "model"])
def test_a_walk_is_short(walk: str) -> None:
    """And has every step: a walk of a few files would skip what it is about."""
    files = {path for path, _ in places(walk)}
    assert MOST_FILES // 2 <= len(files) <= MOST_FILES
