"""What became of each file of a backfill: counted, and noted in a file so that it can resume."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self, TextIO

from sightline.engine.regular_files import MAX_LINE, open_binary
from sightline.producers.backfill.ends import FileEnd
from sightline.producers.backfill.files import BackfillRefused
from sightline.schemas import strict_json

NAMED = 5
"""So many of the files that are no pictures, or are skipped, are kept by name."""


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A file or folder that was not published, and why."""

    path: str
    reason: str


@dataclass(slots=True, kw_only=True)
class BackfillSummary:
    """How far a backfill is: `done` of `total` files have come to an end."""

    total: int
    counts: Counter[FileEnd] = field(default_factory=Counter)
    failures: list[FileFailed] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    """The first few; a folder may hold any number of other files."""
    skipped: list[FileFailed] = field(default_factory=list)
    """The first few, with the reason."""

    @property
    def done(self) -> int:
        """Counts the files that are done with, however each of them ended."""
        return self.counts.total()

    def note(self, path: str, end: FileEnd, reason: str = "") -> None:
        """Counts how one file ended, and names it where that is worth it."""
        self.counts[end] += 1
        if end is FileEnd.FAILED:
            self.failures.append(FileFailed(path, reason))
        elif end is FileEnd.UNSUPPORTED and len(self.unsupported) < NAMED:
            self.unsupported.append(path)
        elif end is FileEnd.SKIPPED and len(self.skipped) < NAMED:
            self.skipped.append(FileFailed(path, reason))


class Resume:
    """The paths that are finished, one JSON line each; a second run leaves them out.

    Args:
        file: the state file; None: nothing is noted.
        what: names the job; a file of another job is refused.

    Raises:
        BackfillRefused: the file belongs to another job, or is no such file.
    """

    def __init__(self, file: Path | None, what: dict[str, str]) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._lines: TextIO | None = None
        self.finished: set[str] = set()
        if file is None:
            return
        try:
            if file.exists():
                self._load(file, what)
            file.parent.mkdir(parents=True, exist_ok=True)
            self._lines = file.open("a", encoding="utf-8")
            is_new = file.stat().st_size == 0
        except OSError as error:
            raise BackfillRefused(f"the state file {file}: {error.strerror or error}") from error
        if is_new:
            self._write(json.dumps(what))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lines is not None:
            self._lines.close()

    def finish(self, path: str) -> None:
        """Note a file whose event is acknowledged."""
        with self._lock:
            self._write(json.dumps(path))

    def forget(self) -> None:
        """The job is complete: the next one begins anew."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        if self._lines is None:
            return
        try:
            # A process that is killed loses nothing; a power cut repeats a few files, which is
            # harmless, so each line is not worth a sync.
            self._lines.write(line + "\n")
            self._lines.flush()
        except OSError as error:
            raise BackfillRefused(f"the state file {self._file}: {error.strerror}") from error

    def _load(self, file: Path, what: dict[str, str]) -> None:
        with open_binary(file) as opened:
            data = b"".join(_bounded_lines(opened, file))
        whole = data[: data.rfind(b"\n") + 1]  # a kill may have cut the last line
        lines = _lines_of(whole, file)
        if lines and lines[0] != what:
            raise BackfillRefused(
                f"{file} belongs to another backfill ({str(lines[0])[:200]}): name another state "
                "file, or remove it"
            )
        if len(whole) != len(data):
            if not lines and not json.dumps(what).encode().startswith(data):
                raise _no_state_file(file)
            os.truncate(file, len(whole))  # only now: it could have been any file of anybody's
        self.finished = {str(path) for path in lines[1:]}


def _bounded_lines(opened: BinaryIO, file: Path) -> Iterator[bytes]:
    while line := opened.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise _no_state_file(file)
        yield line


def _lines_of(whole: bytes, file: Path) -> list[object]:
    """The job, and then the paths that are finished."""
    try:
        lines = [strict_json.loads(line) for line in whole.decode().splitlines()]
    except ValueError as error:
        raise _no_state_file(file) from error
    if not all(isinstance(line, dict if n == 0 else str) for n, line in enumerate(lines)):
        raise _no_state_file(file)
    return lines


def _no_state_file(file: Path) -> BackfillRefused:
    return BackfillRefused(
        f"{file} is no state file of a backfill: name another, or remove it if it was one"
    )
