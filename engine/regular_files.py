"""Files that somebody named, opened without waiting and read within a bound.

A pipe, a device or a directory may be named like a file; opening a pipe waits for its writer,
and a device may never end. Only regular files are opened.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class NotRegular(OSError):
    """The name is that of a pipe, a device or a directory."""


class OverBound(ValueError):
    """The file has more bytes than are accepted; it was not read."""

    def __init__(self, size_bytes: int, max_bytes: int) -> None:
        super().__init__(f"it has {size_bytes:,} bytes, at most {max_bytes:,} are accepted")


def open_binary(file: Path) -> BinaryIO:
    """A regular file, open for reading.

    Raises:
        OSError: missing, unreadable, or not a regular file (`NotRegular`).
        ValueError: a name that no file can have.
    """
    opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise NotRegular(0, "it is not a regular file")
    return os.fdopen(opened, "rb")


MAX_LINE = 1_048_576
"""Characters of a line of a file of rows: a longer one is no row, and would be held whole."""


@contextmanager
def open_lines(file: Path, newline: str | None = None) -> Iterator[Iterator[str]]:
    """The lines of a regular file of UTF-8 text, with or without a byte-order mark.

    Raises:
        OSError: as `open_binary`.
        ValueError: as `open_binary`; on reading, not UTF-8 or a line over `MAX_LINE`.
    """
    with io.TextIOWrapper(open_binary(file), encoding="utf-8-sig", newline=newline) as text:
        yield _lines(text)


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise ValueError(f"line {number} has more than {MAX_LINE:,} characters")
        yield line


def need_regular(file: Path) -> None:
    """Refuse what a library would wait for, or never get to the end of. Raises as `open_binary`."""
    open_binary(file).close()


def read_text(file: Path, max_bytes: int) -> str:
    """All of a regular file of UTF-8 text, with or without a byte-order mark.

    Raises:
        OverBound: as `read_bounded`.
        OSError, ValueError: as `open_binary`; or it is not UTF-8.
    """
    return read_bounded(file, max_bytes).decode("utf-8-sig")


def read_bounded(file: Path, max_bytes: int) -> bytes:
    """All bytes of a regular file that has at most `max_bytes`; a larger one is not read.

    Raises:
        OverBound: the file is larger, or grew while it was read.
        OSError, ValueError: as `open_binary`.
    """
    with open_binary(file) as opened:
        size = os.fstat(opened.fileno()).st_size
        if size <= max_bytes:
            data = opened.read(max_bytes + 1)
            size = len(data)
        if size > max_bytes:
            raise OverBound(size, max_bytes)
        return data
