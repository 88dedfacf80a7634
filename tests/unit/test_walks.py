"""The three walks of docs/walks.md name what is there; they, and what runs, stay short enough."""

from __future__ import annotations

import ast
import gc
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx
import pytest

from sightline.schemas.indexed import Outcome
from tests.api_parts import ApiWorld, part, run
from tests.conftest import ROOT
from tests.worker_world import World, public

PAGE = (ROOT / "docs" / "walks.md").read_text(encoding="utf-8")
_, UPLOAD, CLICK, MODEL = re.split(r"^## .*$", PAGE, flags=re.MULTILINE)
PLACE = re.compile(r"`([a-z_]+/[\w/]+\.(?:py|js))(?::([\w.]+))?`")
KEPT = re.compile(r"^- `(\w+\.\w+)` of `([\w/]+\.py)`: ", re.MULTILINE)
"""A function that a step keeps, before what it is for."""
MOST_FILES = 40
"""What a newcomer reads to follow one thing from its beginning to its end."""
MOST_RUN = 108
"""Files that run for one upload where log, store and index are in memory, leaves included."""


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


def functions_kept(path: str) -> set[tuple[str, str]]:
    """What the classes of a module are given to call later, as `Class.name`, and the module."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    callables = {"Callable"}
    for node in tree.body:
        if isinstance(node, ast.Assign) and "Callable[" in ast.unparse(node.value):
            callables |= {ast.unparse(target) for target in node.targets}
    return {
        (f"{each.name}.{name}", path)
        for each in tree.body
        if isinstance(each, ast.ClassDef)
        for name, kind in _given(each)
        if callables & {*re.findall(r"\w+", ast.unparse(kind))}
    }


def _given(each: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """Its fields, or what its constructor takes, with their types."""
    for node in each.body:
        if isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target), node.annotation
        elif isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for one in (*node.args.args, *node.args.kwonlyargs):
                if one.annotation is not None:
                    yield one.arg, one.annotation


def test_no_step_of_an_upload_calls_back() -> None:
    """What it is given to call answers a question or opens a part, as the page says of each."""
    found = {kept for path, _ in places(UPLOAD) for kept in functions_kept(path)}
    assert found == set(KEPT.findall(UPLOAD))


@contextmanager
def files_run() -> Iterator[set[str]]:
    """Collect the files of ours whose functions run, here and in threads that start meanwhile."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name != "<module>":
            found.add(code.co_filename)

    gc.collect()
    gc.disable()  # what others left may have finalizers
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        gc.enable()
        places = {Path(name).resolve() for name in found if not name.startswith("<")}
        ours = {place.relative_to(ROOT).parts for place in places if place.is_relative_to(ROOT)}
        found.clear()
        found |= {"/".join(parts) for parts in ours if parts[0] not in {"tests", ".venv"}}


def test_what_runs_for_an_upload_does_not_grow_unseen(tmp_path: Path) -> None:
    """The walk names files that decide, this counts all that run: who adds one says so here."""
    api, worker, run_for = ApiWorld.open(tmp_path), World(), set[str]()

    async def upload(client: httpx.AsyncClient) -> None:
        with files_run() as ran:
            answer = await client.post("/v1/images", files=part(), data={"visibility": "public"})
        assert answer.status_code == 202
        run_for.update(ran)

    run(api, upload)
    api.index.close()
    with files_run() as ran:
        worker.publish(public("a", 1, b"one"), "e1")
        worker.run_to_the_end()
    assert worker.outcomes() == {("a", 1): {Outcome.INDEXED}}
    run_for |= ran
    assert MOST_RUN // 2 <= len(run_for) <= MOST_RUN, sorted(run_for)
