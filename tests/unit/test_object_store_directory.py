"""What only the directory adapter has: drafts of puts that were interrupted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from sightline.engine.errors import Conflict, ObjectRefused
from sightline.engine.object_store.directory import DirectoryObjectStore

HOUR_S = 3_600.0


def test_what_interrupted_puts_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    """Only what is over an hour old: a younger draft may be another process's put under way."""
    DirectoryObjectStore(tmp_path).ensure_bucket("b")
    now_s = time.time()
    for name, age_s in {"dead": 2 * HOUR_S, "long-dead": 900 * HOUR_S, "at-work": 60.0}.items():
        draft = tmp_path / ".drafts" / name
        draft.write_bytes(b"half an object")
        os.utime(draft, (now_s - age_s, now_s - age_s))
    store = DirectoryObjectStore(tmp_path)
    assert [path.name for path in (tmp_path / ".drafts").iterdir()] == ["at-work"]
    store.put("b", "k", b"whole")
    assert DirectoryObjectStore(tmp_path).get("b", "k") == b"whole"


@pytest.mark.parametrize(
    "key", ["..", ".", "../../escaped", "a/../../../escaped", "/escaped", "a//."]
)
def test_no_key_leads_out_of_its_bucket(tmp_path: Path, key: str) -> None:
    """Dots and slashes of a key are no steps in the file system; its object comes back by it."""
    root = tmp_path / "deep" / "root"
    store = DirectoryObjectStore(root)
    for bucket in ("b", ".."):
        store.ensure_bucket(bucket)
        store.put(bucket, key, b"kept")
        assert store.get(bucket, key) == b"kept"
        assert [item.key for item in store.list(bucket, "")] == [key]
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(root)]
    assert outside == []


def test_a_list_goes_through_the_folders_of_its_prefix_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grade of an upload looks for one query picture: not among all pictures that there are."""
    store, long = DirectoryObjectStore(tmp_path), "n" * 450
    store.ensure_bucket("b")
    keys = ["images/a/1", "queries/12", "queries/2", f"queries/{long}/3", f"q//{long}", "/q"]
    for key in keys:
        store.put("b", key, b"kept")
    through, scandir = list[str](), os.scandir

    def noted(path: str) -> Any:
        through.append(os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    for prefix in ("queries/1", f"queries/{long}/", f"queries/{long[:250]}", "q//", f"q//{long}"):
        found = [item.key for item in store.list("b", prefix)]
        assert found == sorted(key for key in keys if key.startswith(prefix))
        assert found
    assert through
    assert not [path for path in through if "images" in path or path == str(tmp_path / "b")]
    assert [item.key for item in store.list("b", "/")] == ["/q"]
    assert [item.key for item in store.list("b", "nobody/has/this")] == []


@pytest.mark.parametrize("head", [b"", b"no json\n", b"[]\n", b'{"etag": 1}\n', b"[" * 9_000])
def test_a_damaged_file_costs_its_object_only(tmp_path: Path, head: bytes) -> None:
    """It is listed, reading it is an answer about it alone, and whoever saw it may put it again."""
    store = DirectoryObjectStore(tmp_path)
    store.ensure_bucket("b")
    for key in ("broken", "whole"):
        store.put("b", key, b"kept")
    next(tmp_path.rglob("broken.bytes")).write_bytes(head)
    with pytest.raises(ObjectRefused, match="damaged"):
        store.get("b", "broken")
    assert [item.key for item in store.list("b", "")] == ["broken", "whole"]
    with pytest.raises(Conflict):
        store.put_if("b", "broken", b"new", expected_etag=None)
    store.put_if("b", "broken", b"again", expected_etag=store.stat("b", "broken").etag)
    assert store.get("b", "broken") == b"again"


def test_objects_are_never_taken_for_drafts(tmp_path: Path) -> None:
    """However old an object is, and whatever it is called."""
    store = DirectoryObjectStore(tmp_path)
    for bucket, key in (("b", ".drafts"), (".drafts", "k")):
        store.ensure_bucket(bucket)
        store.put(bucket, key, b"kept")
    for path in tmp_path.rglob("*.bytes"):
        os.utime(path, (0, 0))
    again = DirectoryObjectStore(tmp_path)
    assert again.get("b", ".drafts") == again.get(".drafts", "k") == b"kept"
