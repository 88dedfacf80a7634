"""Backfill and upload of what really lies in folders: every file and folder has one told end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.errors import ObjectDenied, ObjectMissing, ObjectRefused, SightlineError
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.records import StoredObject
from sightline.infra.cli import backfill, main
from sightline.producers.backfill.ends import FileEnd
from sightline.producers.backfill.files import BackfillRefused
from sightline.producers.backfill.names import printable
from sightline.producers.backfill.run import BackfillOptions, run_backfill
from sightline.producers.backfill.tree import skipped_because
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.ids import id_of_file
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.upload_files import upload_files
from sightline.schemas.fields import Visibility
from tests.backfilling import publishing
from tests.worker_parts import MemoryLog

PUBLIC = Visibility.PUBLIC
SMALL = BackfillOptions(visibility=PUBLIC, max_bytes=1_000)


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[ImagePublisher]:
    """Publishes into a directory store and a log in memory."""
    with publishing(tmp_path, MemoryLog(SystemClock())) as publisher:
        yield publisher


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One good picture."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "good.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "photos"


def write(name: bytes) -> None:
    """A picture at a path of any bytes."""
    os.makedirs(os.path.dirname(name), exist_ok=True)  # noqa: PTH103, PTH120 - bytes
    with open(name, "wb") as file:  # noqa: PTH123
        file.write(b"\xff\xd8\xff")


def test_a_file_that_fails_is_told_by_the_exit_code(
    publisher: ImagePublisher,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The others are published: 1 where one has failed, 0 once it is gone."""

    @contextmanager
    def here(*_: object, **__: object) -> Iterator[tuple[object, ...]]:
        yield publisher, CataloguedImages(Catalogue(publisher.store, "b"), publisher), None

    monkeypatch.setattr(backfill, "publishing_here", here)
    monkeypatch.setattr(backfill, "stop_on_signals", threading.Event)
    monkeypatch.setattr(sys, "argv", ["sightline", "backfill", str(folder), "--visibility=public"])
    (folder / "empty.jpg").touch()
    with pytest.raises(SystemExit) as failed:
        main.main()
    assert failed.value.code == 1
    said = capsys.readouterr()
    assert "published 1" in said.out
    assert "failed: empty.jpg" in said.err
    assert "1 of 2 files failed" in said.err
    (folder / "empty.jpg").unlink()
    with pytest.raises(SystemExit) as done:
        main.main()
    assert done.value.code == 0


def test_names_that_are_not_utf_8_are_published(publisher: ImagePublisher, folder: Path) -> None:
    """Under the digest of their bytes; as files, as folders, and noted for a second run."""
    for name in (b"/caf\xe9.jpg", b"/\xfc/a.jpg", b"/notes-\xe9.txt", b"/ \n.png"):
        write(os.fsencode(folder) + name)
    state = folder.parent / "state.jsonl"
    write(os.fsencode(folder) + b"/broken.jpg")
    (folder / "broken.jpg").write_bytes(b"")
    summary = run_backfill(publisher, folder, visibility=PUBLIC, state_file=state)
    assert summary.counts == {FileEnd.PUBLISHED: 4, FileEnd.UNSUPPORTED: 1, FileEnd.FAILED: 1}
    again = run_backfill(publisher, folder, visibility=PUBLIC, state_file=state)
    assert again.counts == {FileEnd.RESUMED: 5, FileEnd.FAILED: 1}
    assert id_of_file("caf\udce9.jpg") != id_of_file("café.jpg")
    assert printable("a\udce9\n\x1b[2J.jpg") == "a\\udce9\\n\\x1b[2J.jpg"


def test_links_pipes_and_devices_end_alone(publisher: ImagePublisher, folder: Path) -> None:
    """A loop, a link to nowhere or outside, a pipe without a writer, an endless device."""
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "nowhere.jpg").symlink_to("never.jpg")
    (folder / "outside.jpg").symlink_to(folder.parent / "objects")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "linked").symlink_to(folder)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    summary = run_backfill(publisher, folder, visibility=PUBLIC)
    failed = {failure.path for failure in summary.failures}
    assert failed == {"loop.jpg", "nowhere.jpg", "zero.jpg", "pipe.jpg"}
    assert {one.path for one in summary.skipped} == {"linked", "outside.jpg"}
    assert summary.counts[FileEnd.PUBLISHED] == 1
    assert summary.done == summary.total


@pytest.mark.parametrize(
    "path",
    ["a\0.jpg", "\0", "loop/x.jpg", "\ud800.jpg", "x" * 300 + ".jpg", "a/" * 3_000, "/etc/passwd"],
)
def test_a_row_of_a_manifest_ends_alone(publisher: ImagePublisher, folder: Path, path: str) -> None:
    """Whatever its path says, the rows around it are published."""
    (folder / "loop").symlink_to("loop")
    manifest = folder.parent / "m.jsonl"
    rows = [{"path": path}, {"path": "good.jpg"}]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    summary = run_backfill(publisher, folder, manifest=manifest)
    assert summary.counts == {FileEnd.PUBLISHED: 1, FileEnd.FAILED: 1}
    assert [failure.path for failure in summary.failures] == [path]
    bucket = run_backfill(publisher, "s3://shop/", manifest=manifest)
    assert bucket.counts == {FileEnd.FAILED: 2}


@pytest.fixture
def abyss(folder: Path) -> Iterator[Path]:
    """1,000 folders in one another, and below them ten with names so long that paths are none.

    Every fiftieth holds a file: to open one at such a depth takes the system a thousand steps.
    """
    at = os.open(folder, os.O_RDONLY)
    for depth, name in enumerate(["d"] * 1_000 + ["x" * 250] * 10):
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
        if depth % 50 == 0 or depth >= 1_000:
            os.close(os.open("a.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)  # Python's own removal opens all at once


def test_a_tree_of_any_depth_is_gone_through(publisher: ImagePublisher, abyss: Path) -> None:
    """1,000 levels are published; where a path is too long for the system, its folder is told."""
    (abyss / ("d/" * 1_000) / "deep.jpg").write_bytes(b"\xff\xd8\xff")
    summary = run_backfill(publisher, abyss, visibility=PUBLIC)
    assert summary.counts[FileEnd.PUBLISHED] == 2
    assert any("the folder cannot be listed" in one.reason for one in summary.failures)
    assert summary.done == summary.total


NOBODY = """
import os, sys
from pathlib import Path
from sightline.producers.backfill.tree import files_below
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for found in files_below(Path(sys.argv[1]), hidden=False):
    print(found.path, *(found.ended or ()))
"""


TEMPORARY = ("/tmp/", "/dev/shm/")  # noqa: S108 - where pytest makes folders that are its user's


def test_a_folder_that_may_not_be_listed_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It fails with its reason, and the folders beside it are gone through."""
    root = tmp_path_factory.mktemp("readable")
    for parent in (root, *root.parents):
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith(TEMPORARY):
            parent.chmod(parent.stat().st_mode | 0o111)
    root.chmod(0o755)
    for name in ("closed", "open"):
        (root / name).mkdir()
        (root / name / "a.jpg").write_bytes(b"\xff\xd8\xff")
    (root / "closed").chmod(0o000)
    done = subprocess.run(
        [sys.executable, "-c", NOBODY, str(root)], capture_output=True, text=True, check=True
    )
    (root / "closed").chmod(0o700)
    assert done.stdout.splitlines() == [
        "closed failed the folder cannot be listed: Permission denied",
        "open/a.jpg",
    ]


HIDDEN = (
    *(".Trash/1.jpg", ".Trash-1000/files/2.jpg", "#recycle/3.jpg", "x/@eaDir/y/THUMB.jpg"),
    *("a/.thumbnails/4.jpg", "Thumbnails/5.jpg", "$RECYCLE.BIN/6.jpg", "__MACOSX/7.jpg"),
    *("._good.jpg", ".DS_Store", "Thumbs.db", ".hidden.jpg", "lost+found/8.jpg"),
    *("#Trash/9.jpg", "a/_thumbs/1.jpg", "~snapshot/2.jpg", "$Extend/3.jpg", "Recycled/4.jpg"),
    *("@__thumb/5.jpg", "Network Trash Folder/6.jpg", "thumb/7.jpg", "@Recycle/8.jpg"),
    *("My Catalog Previews.lrdata/9.jpg", "Smart Previews.LRDATA/a/1.jpg"),
    *("Photos Library.photoslibrary/originals/0/2.jpg", "Aperture Library.aplibrary/3.jpg"),
    *("anna/files_trashbin/files/4.jpg", "anna/files_versions/5.jpg", "appdata_ocx1/preview/6.jpg"),
)


def test_hidden_and_system_files_are_skipped_and_told(
    publisher: ImagePublisher, folder: Path
) -> None:
    """In a folder and in a bucket; `hidden` publishes them, and so does a manifest."""
    for name in HIDDEN:
        write(os.fsencode(folder / name))
        publisher.store.put("shop", name, b"\xff\xd8\xff")
    publisher.store.put("shop", "good.jpg", b"\xff\xd8\xff")
    for source in (folder, "s3://shop/"):
        summary = run_backfill(publisher, source, visibility=PUBLIC)
        assert summary.counts[FileEnd.PUBLISHED] == 1
        assert summary.counts[FileEnd.SKIPPED] == len(HIDDEN)
        assert summary.skipped[0].reason
        assert not summary.failures
        every = BackfillOptions(visibility=PUBLIC, hidden=True)
        assert (
            run_backfill(publisher, source, options=every).counts[FileEnd.PUBLISHED]
            == len(HIDDEN) - 1
        )
    manifest = folder.parent / "m.csv"
    manifest.write_text("path\n.Trash/1.jpg\n")
    assert run_backfill(publisher, folder, manifest=manifest).counts[FileEnd.PUBLISHED] == 1
    assert (
        run_backfill(publisher, folder / ".Trash", visibility=PUBLIC).counts[FileEnd.PUBLISHED] == 1
    )


@pytest.mark.parametrize(
    "path",
    [
        *("Trash/a.jpg", "recycle/a.jpg", "tmp/a.jpg", "_mine/a.jpg", "@anna/a.jpg", "thumbs.jpg"),
        *("photoslibrary/a.jpg", "appdata/a.jpg"),
    ],
)
def test_what_people_may_call_their_own_folders_is_not_skipped(path: str) -> None:
    """A system marks its own with a sign before the name."""
    assert skipped_because(path) == ""


def test_a_large_file_is_refused_by_its_size(publisher: ImagePublisher, folder: Path) -> None:
    """Neither read nor stored: a terabyte would not fit."""
    with (folder / "scan.tif").open("wb") as file:
        file.truncate(2**40)
    (folder / "just.jpg").write_bytes(bytes(1_000))
    publisher.store.put("shop", "scan.tif", bytes(1_001))
    summary = run_backfill(publisher, folder, options=SMALL)
    assert [failure.path for failure in summary.failures] == ["scan.tif"]
    assert "at most 1,000 are accepted" in summary.failures[0].reason
    assert summary.counts[FileEnd.PUBLISHED] == 2
    assert run_backfill(publisher, "s3://shop/", options=SMALL).counts == {FileEnd.FAILED: 1}


def test_upload_reads_regular_files_only_and_within_the_bound(
    publisher: ImagePublisher, folder: Path
) -> None:
    """A pipe, a device, a folder and a file over the bound are told; the rest is uploaded."""
    os.mkfifo(folder / "pipe.jpg")
    with (folder / "scan.tif").open("wb") as file:
        file.truncate(2**40)
    files = [folder / name for name in ("pipe.jpg", "scan.tif", "a\0b", "good.jpg")]
    files += [Path("/dev/zero"), folder]
    images = CataloguedImages(Catalogue(publisher.store, "sightline"), publisher)
    ends = upload_files(images, files, visibility=PUBLIC)
    assert [end.published is not None for end in ends] == [False, False, False, True, False, False]
    assert all(end.reason for end in ends if end.published is None)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\n",
        b"[1, 2]\n",
        b'{"source": 1}\n[1]\n',
        b'{"source": 1}\n{}\n',
        b"[" * 100_000 + b"\n",
        b"9" * 5_000 + b"\n",
        b'"no newline"',
        b"\x89PNG\r\n\x1a\n and so on",
        b"path,visibility\na.jpg,private",
    ],
)
def test_an_odd_state_file_is_told_and_left_alone(
    publisher: ImagePublisher, folder: Path, content: bytes
) -> None:
    """It may be anybody's file: nothing is cut off it."""
    state = folder.parent / "state.jsonl"
    state.write_bytes(content)
    with pytest.raises(BackfillRefused, match="state"):
        run_backfill(publisher, folder, visibility=PUBLIC, state_file=state)
    assert state.read_bytes() == content


def test_a_state_file_without_lines_is_not_read_whole(
    publisher: ImagePublisher, folder: Path
) -> None:
    """A terabyte of nothing, also below the line that a state file begins with."""
    state = folder.parent / "state.jsonl"
    (folder / "empty.jpg").write_bytes(b"")  # fails, so that the job stays open
    run_backfill(publisher, folder, visibility=PUBLIC, state_file=state)
    head = state.read_bytes().splitlines(keepends=True)[0]
    for before in (b"", head):
        state.write_bytes(before)
        os.truncate(state, 2**40)
        with pytest.raises(BackfillRefused, match="no state file"):
            run_backfill(publisher, folder, visibility=PUBLIC, state_file=state)
        assert state.stat().st_size == 2**40


def test_a_state_file_that_is_no_file_is_told(publisher: ImagePublisher, folder: Path) -> None:
    """A folder, a pipe, a device, a place below a file."""
    os.mkfifo(folder.parent / "pipe")
    for state in (folder, folder.parent / "pipe", Path("/dev/zero"), folder / "good.jpg" / "s"):
        with pytest.raises(BackfillRefused, match="state file"):
            run_backfill(publisher, folder, visibility=PUBLIC, state_file=state)


def test_a_state_file_that_was_cut_anywhere_resumes(
    publisher: ImagePublisher, folder: Path
) -> None:
    """Also within its first line; what stands whole in it is not done again."""
    (folder / "empty.jpg").write_bytes(b"")
    state = folder.parent / "state.jsonl"
    run_backfill(publisher, folder, visibility=PUBLIC, state_file=state)
    whole = state.read_bytes()
    for length in range(len(whole) + 1):
        state.write_bytes(whole[:length])
        summary = run_backfill(publisher, folder, visibility=PUBLIC, state_file=state)
        assert summary.counts[FileEnd.RESUMED] == (length == len(whole))
        assert summary.counts[FileEnd.FAILED] == 1
        assert summary.done == 2


@pytest.mark.parametrize("answer", [ObjectDenied("no"), ObjectRefused("no"), ObjectMissing("no")])
def test_an_object_that_is_not_to_be_had_ends_alone(
    publisher: ImagePublisher, monkeypatch: pytest.MonkeyPatch, answer: SightlineError
) -> None:
    """It is told, without a wait, and the others are published."""
    for key in ("closed.jpg", "good.jpg"):
        publisher.store.put("shop", key, b"\xff\xd8\xff")
    stat = publisher.store.stat

    def closed(bucket: str, key: str) -> StoredObject:
        if key == "closed.jpg":
            raise answer
        return stat(bucket, key)

    monkeypatch.setattr(publisher.store, "stat", closed)
    summary = run_backfill(publisher, "s3://shop/", visibility=PUBLIC)
    assert summary.counts == {FileEnd.PUBLISHED: 1, FileEnd.FAILED: 1}
    assert [failure.path for failure in summary.failures] == ["closed.jpg"]


def test_a_bucket_that_may_not_be_listed_is_no_backfill(
    publisher: ImagePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so at once."""

    def closed(*_: object, **__: object) -> Iterator[StoredObject]:
        raise ObjectDenied("list shop: AccessDenied")

    monkeypatch.setattr(publisher.store, "list", closed)
    with pytest.raises(BackfillRefused, match="may not be listed"):
        run_backfill(publisher, "s3://shop/", visibility=PUBLIC)
