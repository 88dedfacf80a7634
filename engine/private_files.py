"""Files of this system and of nobody else on the machine: folders 0700, files 0600."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from sightline.engine.errors import RefusedToStart

FOLDER_MODE, FILE_MODE = 0o700, 0o600
OTHERS = 0o077
"""What group and everybody else may do: nothing."""


def keep_private() -> None:
    """From now on, whatever this process makes is its user's alone."""
    os.umask(OTHERS)


def private_folder(folder: Path) -> None:
    """Make a folder that only we can enter, or see that an old one is.

    Raises:
        RefusedToStart: it is another user's, or others can enter it; says what to do.
    """
    make_private_folders(folder)
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise RefusedToStart(
            f"{folder} belongs to the user with number {status.st_uid}, not to us "
            f"({os.geteuid()}): run as its owner, or set another SIGHTLINE_DATA_DIRECTORY"
        )
    if stat.S_IMODE(status.st_mode) & OTHERS:
        raise RefusedToStart(
            f"other users of this machine can enter {folder} (mode "
            f"{stat.S_IMODE(status.st_mode):04o}), which holds private pictures and the signing "
            f"secret: chmod -R go= {folder}"
        )


def make_private_folders(folder: Path) -> None:
    """Make a folder and what is missing above it, for us alone; what is there stays as it is."""
    if folder.is_dir():
        return
    make_private_folders(folder.parent)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def write_private(file: Path, text: str) -> None:
    """Write a text file which only we can read; what it held is gone."""
    with open_private(file) as opened:
        opened.write(text.encode())


def open_private(file: Path) -> BinaryIO:
    """A new or emptied file to write, which only we can read.

    Raises:
        OSError: it cannot be written, or is a pipe that nobody reads.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK
    opened = os.open(file, flags, FILE_MODE)
    os.set_blocking(opened, True)
    return os.fdopen(opened, "wb")
