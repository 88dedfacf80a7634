"""Who may import whom, and the one home of each vendor library (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.imports import imports_of

MAY_IMPORT = {
    "schemas": set(),
    "engine": {"schemas"},
    "producers": {"schemas", "engine"},
    "stream_workers": {"schemas", "engine"},
    "search_api": {"schemas", "engine", "producers"},
    "training": {"schemas", "engine"},
    "infra": {"schemas", "engine", "producers", "stream_workers", "search_api", "training"},
}
"""Besides itself; `infra` is in nobody's set."""

PUBLISHERS = ("stream_workers/bucket_bridge/*.py", "stream_workers/reconciling/*.py")
"""Workers that publish image events, as the API does, may import `producers` as well."""

VENDOR_HOMES = {
    "torch": ("engine/embedding/*.py", "training/*.py"),
    "torchvision": ("engine/embedding/*.py", "training/*.py"),
    "openvino": ("engine/embedding/*.py",),
    "qdrant_client": ("engine/vector_index/*.py",),
    "qdrant_edge": ("engine/vector_index/*.py",),
    "minio": ("engine/object_store/s3*.py",),
    "confluent_kafka": ("engine/event_log/*.py",),
    "optuna": ("training/tuning/*.py",),
    "cryptography": ("engine/search_ids.py",),
    "faust": ("stream_workers/labels/stage/*.py",),
    "aiokafka": ("stream_workers/labels/stage/*.py",),
}

REACH_KAFKA = {
    "infra/supervision/label_children.py",  # tells a child process
    "infra/wiring/node.py",  # holds them for who connects
    "stream_workers/labels/stage/driver.py",  # Faust has a client of its own
    "stream_workers/labels/stage/process.py",
}
"""Who knows `KafkaSettings` outside `engine/`: all others read the log by the port `EventLog`."""

STRANGERS = {
    "stream_workers/labels/join": ("stream_workers/labels/mine",),
    "stream_workers/labels/mine": ("stream_workers/labels/join",),
}
"""Two stages that speak through their topics alone: what both need lies in `labels/`."""

LOOPS_OF_THEIR_OWN = {
    "engine/looking.py": "repeats what worked, too",
    "infra/supervision/children.py": "a child that ends raises nothing",
    "producers/backfill/pacing.py": "gives up after a while, so it asks more often",
    "stream_workers/delivery/retries.py": "has the delays of the settings",
}
"""Modules that set delays between attempts, and why; others call `retry_transient` or those."""

MODULES = sorted(path for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a module imports, wherever in it; relative ones made absolute."""
    inside = path.relative_to(ROOT).parent.parts
    for node in imports_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node.level == 0:
            base = node.module or ""
            yield from (f"{base}.{alias.name}" for alias in node.names)
        else:
            above = inside[: len(inside) - node.level + 1]
            yield ".".join(("sightline", *above, node.module or ""))


def place(path: Path) -> str:
    """Where a module lies in the checkout."""
    return path.relative_to(ROOT).as_posix()


def unlawful(path: Path) -> set[str]:
    """Rooms that a module imports and may not."""
    room = path.relative_to(ROOT).parts[0]
    allowed = MAY_IMPORT[room] | {room}
    if any(fnmatch(place(path), pattern) for pattern in PUBLISHERS):
        allowed = allowed | {"producers"}
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("sightline.")}
    return rooms - allowed


def vendors_away(path: Path) -> set[str]:
    """Vendor libraries that a module imports which is not their home."""
    return {
        vendor
        for name in imported(path)
        if (vendor := name.split(".")[0]) in VENDOR_HOMES
        and not any(fnmatch(place(path), home) for home in VENDOR_HOMES[vendor])
    }


def rooms_by_folder(path: Path) -> set[str]:
    """Rooms that a module imports by the name of their folder."""
    return {name.split(".")[0] for name in imported(path)} & set(MAY_IMPORT)


@pytest.mark.parametrize("strangers", [unlawful, vendors_away, rooms_by_folder])
def test_a_module_imports_what_the_law_allows(strangers: Callable[[Path], set[str]]) -> None:
    """Dependencies point towards schemas; each vendor has one home; rooms have installed names.

    One adapter knows each vendor, so one file changes when the vendor does. `import engine` would
    work in a checkout and nowhere else.
    """
    assert {place(path): found for path in MODULES if (found := strangers(path))} == {}


def test_who_reads_the_log_does_not_know_where_it_is() -> None:
    """So that a log in memory serves as well."""
    named = "sightline.engine.settings.KafkaSettings"
    outside = [path for path in MODULES if not place(path).startswith("engine/")]
    assert {place(path) for path in outside if named in imported(path)} == REACH_KAFKA


@cache
def packages_imported(path: Path) -> set[str]:
    """Folders of ours, other than its own, that a module imports from: also only for its types."""
    names = [name.split(".")[1:] for name in imported(path) if name.startswith("sightline.")]
    folders = {folder for name in names if (folder := _folder_of(name)) is not None}
    return folders - {place(path.parent)}


def _folder_of(name: list[str]) -> str | None:
    """The folder of the module that a dotted name lies in, or names."""
    for length in range(len(name), 0, -1):
        at = ROOT.joinpath(*name[:length])
        if at.with_suffix(".py").is_file():
            return place(at.parent)
        if (at / "__init__.py").is_file():
            return place(at)
    return None


def graph(modules: list[Path]) -> dict[str, set[str]]:
    """Each package, with the packages that its modules import."""
    edges: dict[str, set[str]] = {}
    for path in modules:
        edges.setdefault(place(path.parent), set()).update(packages_imported(path))
    return edges


def circle_in(edges: dict[str, set[str]]) -> list[str] | None:
    """Packages that import each other all the way round; None: there is no such circle."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return None


def test_only_named_loops_have_delays_of_their_own() -> None:
    """A new loop around failures is seen: whoever constructs a `Backoff` imports it."""
    names = {"sightline.engine.backoff", "sightline.engine.backoff.Backoff"}
    found = {place(path) for path in MODULES if not names.isdisjoint(imported(path))}
    assert found == set(LOOPS_OF_THEIR_OWN)


def test_packages_form_no_circle() -> None:
    """What a folder is built from can be read before it, down to the bottom."""
    assert circle_in(graph(MODULES)) is None


def test_a_circle_of_packages_is_found() -> None:
    """The check sees folders that import each other through a third."""
    circle = circle_in({"a/x": {"a/y"}, "a/y": {"b"}, "b": {"a/x"}, "c": {"b"}})
    assert circle is not None
    assert set(circle) == {"a/x", "a/y", "b"}


def test_packages_are_read_from_imports() -> None:
    """The graph is not empty by mistake: an edge that must be there, and one that must not."""
    edges = graph(MODULES)
    assert "producers/images" in edges["producers/backfill"]
    assert "producers/backfill" not in edges["producers/images"]


@pytest.mark.parametrize("package", STRANGERS)
def test_join_and_miner_know_nothing_of_each_other(package: str) -> None:
    """Each can be read, tested and replaced without the other."""
    known = {
        folder
        for path in MODULES
        if place(path).startswith(f"{package}/")
        for folder in packages_imported(path)
    }
    assert known, f"{package} imports nothing of ours: is it still there?"
    assert not known & set(STRANGERS[package])


def test_only_infra_knows_the_stages_that_run_on_faust() -> None:
    """Join and miner are tested without Faust, since nothing but their shell can need it."""
    stage = "stream_workers/labels/stage"
    knowing = {place(path.parent) for path in MODULES if stage in packages_imported(path)}
    assert knowing
    assert all(folder.startswith("infra") for folder in knowing), sorted(knowing)
