"""One public name, one meaning, in the whole house: the name is enough to find it."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache

import pytest

from tests.conftest import ROOT

ROOMS = ("schemas", "engine", "producers", "stream_workers", "search_api", "training", "infra")
CONTRACTS = {
    *("Beacon", "CropBox", "ImageQuery", "Location", "ObjectReference", "Omission", "UploadQuery"),
}
"""The label codecs' faster forms of contracts, and what the API's requests share with them."""
COMMANDS = {
    *("agreement", "down", "evaluate", "fit", "reconcile", "release", "report", "start", "stop"),
    *("train_backbone", "up"),
}
"""A command of the same name does what the function does, and tells of it."""
ADAPTERS = {"error_of", "search_params", "to_filter"}
"""The same in another vendor's words."""
ALIKE = {
    "main",  # of each module that is run by itself
    "inputs_digest",  # of a head, and of a network
}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def definitions() -> list[tuple[str, ast.stmt]]:
    """The path and the node of each public class and function of a module."""
    return [
        (path.relative_to(ROOT).as_posix(), node)
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)) and not node.name.startswith("_")
    ]


def homes_of(*kinds: type[ast.stmt]) -> dict[str, list[str]]:
    """The modules of each name that such a definition has."""
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path, node in definitions():
        if isinstance(node, kinds):
            homes[getattr(node, "name", "")].append(path)
    return homes


@pytest.mark.parametrize(
    ("kinds", "twins"),
    [
        pytest.param((ast.ClassDef,), CONTRACTS, id="class"),
        pytest.param(FUNCTIONS, COMMANDS | ADAPTERS | ALIKE, id="function"),
    ],
)
def test_no_two_modules_have_a_public_name_in_common(
    kinds: tuple[type[ast.stmt], ...], twins: set[str]
) -> None:
    """But for twins, which mean the same."""
    shared = {name: homes for name, homes in homes_of(*kinds).items() if len(homes) > 1}
    assert {name: homes for name, homes in shared.items() if name not in twins} == {}
    assert set(shared) == twins, "a twin that is gone"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_twin_of_a_command_has_one_other_home(name: str) -> None:
    """One of the two is the command of the `sightline` program."""
    homes = homes_of(*FUNCTIONS)[name]
    assert len(homes) == 2
    assert len([home for home in homes if home.startswith("infra/cli/")]) == 1
