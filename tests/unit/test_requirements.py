"""The compiled requirements: pinned, hashed, of one mind, and naming no host."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

FILES = sorted((ROOT / "infra/requirements").glob("*.txt"))
PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)


def pins(name: str) -> dict[str, set[str]]:
    """Package to pinned versions; several where Pythons or platforms differ."""
    found: dict[str, set[str]] = {}
    for package, version in PIN.findall((ROOT / "infra/requirements" / name).read_text()):
        found.setdefault(package, set()).add(version)
    return found


def wanted(requirements: list[str]) -> set[str]:
    """The normalised names of requirement strings, ours aside."""
    names = {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in requirements}
    return {re.sub(r"[._-]+", "-", name) for name in names} - {"sightline-search"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_everything_is_pinned_with_hashes_and_no_host(file: Path) -> None:
    """Each requirement has a version and a SHA-256; no index, link or address stands in it."""
    text = file.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    entries = [e for e in re.split(r"\n(?=\S)", text.replace("\\\n", " ")) if e.strip()]
    assert entries
    for entry in entries:
        assert PIN.match(entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_parts_agree_with_the_whole(file: Path) -> None:
    """A package has the same version in every file."""
    everything = pins("dev.txt")
    for package, versions in pins(file.name).items():
        assert versions <= everything[package], package


def test_the_pins_cover_pyproject() -> None:
    """Who adds a dependency compiles the pins anew (`make requirements`)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    base = wanted(project["project"]["dependencies"])
    extras = project["project"]["optional-dependencies"]
    assert base <= set(pins("base.txt"))
    every = base.union(*(wanted(lines) for lines in extras.values()))
    assert every | wanted(project["dependency-groups"]["dev"]) <= set(pins("dev.txt"))
    parts = ("embedding", "telemetry", "worker", "api", "embedded")
    assert base.union(*(wanted(extras[part]) for part in parts)) <= set(pins("embedded.txt"))


def test_the_base_install_is_light() -> None:
    """A platform service that only publishes gets no torch, numpy, pillow or web framework."""
    heavy = {"torch", "torchvision", "numpy", "pillow", "fastapi", "uvicorn", "prometheus-client"}
    assert not heavy & set(pins("base.txt"))
