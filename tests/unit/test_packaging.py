"""What is installed: every package of the tree, by names that collide with nobody's."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECT: Any = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
ROOMS = ("schemas", "engine", "producers", "stream_workers", "search_api", "training", "infra")


def packages_in_the_tree() -> set[str]:
    """The installed name of every folder of a room that has an `__init__.py`."""
    return {
        ".".join(("sightline", *path.parent.relative_to(CHECKOUT).parts))
        for room in ROOMS
        for path in (CHECKOUT / room).rglob("__init__.py")
    }


def test_every_package_of_the_tree_is_installed() -> None:
    """A new folder that is missing in pyproject.toml would be missing in the wheel."""
    assert set(SETUPTOOLS["packages"]) == packages_in_the_tree()
    assert len(SETUPTOOLS["packages"]) == len(set(SETUPTOOLS["packages"]))


def test_every_module_lies_in_a_package() -> None:
    """A module in a folder without `__init__.py` would be missing in the wheel."""
    modules = {path.parent for room in ROOMS for path in (CHECKOUT / room).rglob("*.py")}
    assert [str(folder) for folder in modules if not (folder / "__init__.py").is_file()] == []


def test_rooms_map_to_the_top_level_folders() -> None:
    """Each room is `sightline.<room>` once installed (docs/adr/0001)."""
    assert SETUPTOOLS["package-dir"] == {f"sightline.{room}": room for room in ROOMS}


def test_nothing_is_installed_at_the_top_level() -> None:
    """No `schemas` or `engine` in a platform service's environment, and no `sightline/__init__`."""
    assert all(name.startswith("sightline.") for name in SETUPTOOLS["packages"])
    assert not (CHECKOUT / "sightline").exists()


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
    }
