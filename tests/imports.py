"""The statements of modules; the imports among them, each file parsed once a process."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

Import = ast.Import | ast.ImportFrom


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """Every import of a module, whether at its top or late in a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(node for node in statements(tree) if isinstance(node, Import))


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every statement of a module, however deep; an expression, which most nodes are, has none."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt):
            yield node
        if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from statements(node)
