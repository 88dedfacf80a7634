"""Who may import whom, and the one home of each vendor library (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

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
    "faust": ("stream_workers/labels/stage/*.py",),
    "aiokafka": ("stream_workers/labels/stage/*.py",),
}

MODULES = sorted(path for room in MAY_IMPORT for path in (CHECKOUT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Dotted names that a module imports, wherever in it; relative ones made absolute."""
    inside = path.relative_to(CHECKOUT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            base = node.module or ""
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = inside[: len(inside) - node.level + 1]
            yield ".".join(("sightline", *above, node.module or ""))


def place(path: Path) -> str:
    """Where a module lies in the checkout."""
    return path.relative_to(CHECKOUT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_a_room_imports_only_what_the_law_allows(path: Path) -> None:
    """Dependencies point one way: towards schemas."""
    room = path.relative_to(CHECKOUT).parts[0]
    allowed = MAY_IMPORT[room] | {room}
    if any(fnmatch(place(path), pattern) for pattern in PUBLISHERS):
        allowed = allowed | {"producers"}
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("sightline.")}
    assert rooms <= allowed, f"{place(path)} imports {sorted(rooms - allowed)}"


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_a_vendor_library_stays_in_its_home(path: Path) -> None:
    """One adapter knows each vendor, so one file changes when the vendor does."""
    strangers = {
        vendor
        for name in imported(path)
        if (vendor := name.split(".")[0]) in VENDOR_HOMES
        and not any(fnmatch(place(path), home) for home in VENDOR_HOMES[vendor])
    }
    assert not strangers, f"{place(path)} imports {sorted(strangers)}"


@pytest.mark.parametrize("path", MODULES, ids=place)
def test_rooms_are_imported_by_their_installed_names(path: Path) -> None:
    """`import engine` would work in a checkout and nowhere else."""
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & set(MAY_IMPORT)
