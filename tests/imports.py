"""The import statements of modules, each file parsed once a process."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

Import = ast.Import | ast.ImportFrom


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import of a module, whether at its top or late in a function."""
    return tuple(_imports_in(ast.parse(path.read_text(encoding="utf-8"))))


def _imports_in(tree: ast.AST) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Import):
            yield node
        elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _imports_in(node)  # an expression, which most nodes are, holds none
