"""A copy of a directory equals it, byte by byte, and its holes stay holes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sightline.engine.vector_index.edge.sparse_copy import copy_sparse_tree

MIB = 1 << 20


def written(path: Path, size: int, *parts: tuple[int, bytes]) -> None:
    """A file of a size with some bytes at some places and holes between."""
    with path.open("wb") as file:
        file.truncate(size)
        for at, data in parts:
            os.pwrite(file.fileno(), data, at)
        os.fsync(file.fileno())


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        (0, ()),
        (4 * MIB, ()),
        (5, ((0, b"whole"),)),
        (4 * MIB, ((0, b"at the beginning"),)),
        (4 * MIB, ((4 * MIB - 3, b"end"),)),
        (8 * MIB, ((MIB + 5, b"x" * (2 * MIB + 1)), (6 * MIB, b"another part"))),
    ],
)
def test_a_copied_file_holds_the_same_bytes(
    tmp_path: Path, size: int, parts: tuple[tuple[int, bytes], ...]
) -> None:
    """Holes read as zeros, wherever they lie."""
    source = tmp_path / "source" / "below"
    source.mkdir(parents=True)
    written(source / "file", size, *parts)
    copy_sparse_tree(tmp_path / "source", tmp_path / "target")
    copied = tmp_path / "target" / "below" / "file"
    assert copied.read_bytes() == (source / "file").read_bytes()


def test_what_was_never_written_takes_no_room(tmp_path: Path) -> None:
    """The copy takes as much room as the file: nearly none, where holes are not stored."""
    source = tmp_path / "source"
    source.mkdir()
    written(source / "file", 32 * MIB, (MIB, b"a few bytes"))
    copy_sparse_tree(source, tmp_path / "target")
    copied = (tmp_path / "target" / "file").stat().st_blocks
    assert copied * 512 <= (source / "file").stat().st_blocks * 512 + MIB


def test_a_place_that_is_taken_is_an_error(tmp_path: Path) -> None:
    """Nothing is copied over what is there."""
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    with pytest.raises(OSError, match="exists"):
        copy_sparse_tree(tmp_path / "source", tmp_path / "target")
