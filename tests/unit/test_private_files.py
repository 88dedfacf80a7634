"""What an embedded node keeps is its user's alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline.engine.connecting import owner
from sightline.engine.errors import RefusedToStart
from sightline.engine.event_log.embedded.journal import Journal
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.private_files import make_private_folders, private_folder
from sightline.engine.settings import IndexSettings, Mode, Settings
from sightline.engine.signing_secret import stored_secret
from sightline.engine.vector_index.edge.index import EdgeGenerations
from sightline.infra.wiring.embedded import embedded_node
from tests.indexed_images import SPEC


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing is private by itself."""
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_ours_alone(wide: Path) -> None:
    """And so is what had to be made above it; a second look changes nothing."""
    for _ in range(2):
        private_folder(wide / "a" / "b")
    assert mode(wide / "a") == mode(wide / "a" / "b") == 0o700


@pytest.mark.parametrize("bits", [0o755, 0o750, 0o701, 0o710, 0o777, 0o707])
def test_a_folder_that_others_can_enter_is_refused(wide: Path, bits: int) -> None:
    """With the command that mends it."""
    folder = wide / "var"
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(RefusedToStart, match=f"chmod -R go= {folder}"):
        private_folder(folder)
    folder.chmod(0o700)
    private_folder(folder)


def test_a_folder_of_somebody_else_is_refused(wide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They could change what is in it, whatever its mode."""
    private_folder(wide / "var")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(RefusedToStart, match="run as its owner"):
        private_folder(wide / "var")


@pytest.mark.parametrize("which", ["data_directory", "index", "store"])
def test_an_embedded_node_starts_on_private_folders_only(wide: Path, which: str) -> None:
    """The data directory, and those of index and store where they lie elsewhere."""
    folder = wide / "shared"
    folder.mkdir()
    named = {"data_directory": wide / "var"}
    told = {which: folder} if which == "data_directory" else {which: {"directory": folder}}
    settings = Settings.model_validate({"mode": Mode.EMBEDDED, **named, **told})
    with pytest.raises(RefusedToStart, match="shared"), embedded_node(settings):
        pass


def test_a_generation_of_the_index_is_ours_alone(wide: Path) -> None:
    """The engine's own files in it are as open as the process lets them be."""
    EdgeGenerations(wide / "index", IndexSettings()).create(SPEC)
    assert mode(wide / "index") == mode(wide / "index" / SPEC.name) == 0o700


def test_nothing_of_the_embedded_stack_can_be_seen_by_others(wide: Path) -> None:
    """The signing secret, objects, the journal with what SQLite keeps beside it, the owner's."""
    data = wide / "var"
    make_private_folders(data)
    store = DirectoryObjectStore(data / "objects")
    store.ensure_bucket("sightline")
    store.put("sightline", "images/a", b"private")
    stored_secret(store, "sightline")
    journal = Journal(data / "journal.sqlite")
    owner.announce(data, owner.Owner(pid=os.getpid(), url="http://x", bootstrap_servers="y"))
    files = [path for path in data.rglob("*") if path.is_file()]
    assert {"journal.sqlite", "journal.sqlite-wal", "owner.json"} <= {path.name for path in files}
    others = [path for path in files if mode(path) & 0o077 and ".locks" not in path.parts]
    assert others == []
    entered = [path for path in data.rglob("*") if path.is_dir() and mode(path) & 0o077]
    assert entered == []
    journal.close()
