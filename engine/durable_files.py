"""Files that survive a crash of the machine: their contents and their names are synced."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file so that a crash leaves the old or the new text, durably."""
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes the creation and removal of a directory's files durable (`fsync`)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(directory: Path) -> None:
    """Make the contents of all files in a directory durable, also of those renamed meanwhile."""
    synced: set[str] = set()
    while synced != (names := {path.name for path in directory.iterdir()}):
        for name in names:
            path = directory / name
            with contextlib.suppress(FileNotFoundError, IsADirectoryError), path.open("rb") as file:
                os.fsync(file.fileno())
        synced = names
    sync_directory(directory)


def sync_tree(directory: Path) -> None:
    """Make all files under a directory durable; for what was copied or just made."""
    for path in [directory, *(p for p in directory.rglob("*") if p.is_dir())]:
        with contextlib.suppress(FileNotFoundError):
            sync_files(path)
