"""The machine: room on the disk and in the table of open files."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from sightline.engine.settings import Mode, Settings
from sightline.infra.doctor.findings import Finding, bad, fine

GIB = 2**30
MIN_FREE_BYTES = 2 * GIB
"""A shadow copy of a 100,000-image index while it is optimised, twice."""
MIN_OPEN_FILES = 1024
"""The store's pool, the broker's sockets and the mapped segments of a large index."""


def check_machine(settings: Settings) -> Iterator[Finding]:
    """Free space where we write, and how many files a process may open."""
    for path in _written(settings):
        yield _disk(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield _open_files(soft, hard)


def _written(settings: Settings) -> set[Path]:
    paths = {settings.data_directory} if settings.mode is Mode.EMBEDDED else set()
    if settings.index.url is None:
        paths.add(settings.index_directory)
    if settings.store.directory is not None:
        paths.add(settings.store.directory)
    return {_existing(path) for path in paths}


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above that is there already."""
    whole = path.resolve()
    return next(folder for folder in (whole, *whole.parents) if folder.is_dir())


def _disk(path: Path) -> Finding:
    free = shutil.disk_usage(path).free
    told = f"{free / GIB:.1f} GiB free under {path}"
    if free < MIN_FREE_BYTES:
        remedy = f"free at least {MIN_FREE_BYTES // GIB} GiB, or move data_directory"
        return bad("disk", told, remedy)
    return fine("disk", told)


def _open_files(soft: int, hard: int) -> Finding:
    told = f"{soft} per process"
    if soft != resource.RLIM_INFINITY and soft < MIN_OPEN_FILES:
        remedy = f"ulimit -n {MIN_OPEN_FILES}" + (" as root" if 0 <= hard < MIN_OPEN_FILES else "")
        return bad("open files", told, remedy)
    return fine("open files", told)
