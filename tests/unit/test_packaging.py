"""What is installed: every package of the tree, by names that collide with nobody's."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.imports import imports_of

PROJECT: Any = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
ROOMS = ("schemas", "engine", "producers", "stream_workers", "search_api", "training", "infra")
PACKAGES = {
    "PIL": "pillow",
    "cyclonedx": "cyclonedx-python-lib",
    "faust": "faust-streaming",
    "grpc": "grpcio",
    "mode": "faust-streaming",
    "pydantic_core": "pydantic",
    "qdrant_edge": "qdrant-edge-py",
    "sklearn": "scikit-learn",
    "starlette": "fastapi",
    "yaml": "pyyaml",
}
"""What is imported to who brings it, where the two have different names."""


def packages_in_the_tree() -> set[str]:
    """The installed name of every folder of a room that has an `__init__.py`."""
    return {
        ".".join(("sightline", *path.parent.relative_to(ROOT).parts))
        for room in ROOMS
        for path in (ROOT / room).rglob("__init__.py")
    }


def test_every_package_of_the_tree_is_installed() -> None:
    """A new folder that is missing in pyproject.toml would be missing in the wheel."""
    assert set(SETUPTOOLS["packages"]) == packages_in_the_tree()
    assert len(SETUPTOOLS["packages"]) == len(set(SETUPTOOLS["packages"]))


def test_every_module_lies_in_a_package() -> None:
    """A module in a folder without `__init__.py` would be missing in the wheel."""
    modules = {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert [str(folder) for folder in modules if not (folder / "__init__.py").is_file()] == []


def test_rooms_map_to_the_top_level_folders() -> None:
    """Each room is `sightline.<room>` once installed (docs/adr/0001)."""
    assert SETUPTOOLS["package-dir"] == {f"sightline.{room}": room for room in ROOMS}


def test_nothing_is_installed_at_the_top_level() -> None:
    """No `schemas` or `engine` in a platform service's environment, and no `sightline/__init__`."""
    assert all(name.startswith("sightline.") for name in SETUPTOOLS["packages"])
    assert not (ROOT / "sightline").exists()


def test_the_base_install_is_light() -> None:
    """A service that only publishes installs no torch, no web framework, no arrays."""
    names = {
        line.partition(">")[0].partition("=")[0] for line in PROJECT["project"]["dependencies"]
    }
    assert names == {
        "confluent-kafka",
        "cryptography",
        "minio",
        "pydantic",
        "pydantic-settings",
        "rich",
        "typer",
        "urllib3",
    }


def modules_imported(folder: Path) -> set[str]:
    """The top-level names that modules of a folder import from others, whether at once or late."""
    nodes = [node for path in folder.rglob("*.py") for node in imports_of(path)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    tops = {name.partition(".")[0] for name in names}
    return tops - sys.stdlib_module_names - {"sightline", "tests", "benchmarks", ""}


def declared(requirements: list[str]) -> set[str]:
    """The names of the packages that are required."""
    return {re.split(r"[\[<>=]", one)[0].lower() for one in requirements}


def test_what_is_imported_is_declared() -> None:
    """What only came along with another package could go with its next release."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    ours = declared([*project["dependencies"], *(one for extra in extras for one in extra)])
    for folders, allowed in (
        (ROOMS, ours),
        (("tests", "benchmarks"), ours | declared(PROJECT["dependency-groups"]["dev"])),
    ):
        wanted = set.union(*(modules_imported(ROOT / folder) for folder in folders))
        packages = {PACKAGES.get(name, name.replace("_", "-")) for name in wanted}
        assert packages - allowed == set()
