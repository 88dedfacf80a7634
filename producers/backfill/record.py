"""What became of each file of a backfill: counted, and noted in a file so that it can resume."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from sightline.producers.backfill.files import BackfillRefused

NAMED = 5
"""So many of the files that are no pictures are kept by name."""


class End(StrEnum):
    """The one end of every file; there is no silence."""

    PUBLISHED = "published"
    """Acknowledged by the log."""
    KNOWN = "known"
    """Not published: the image is known, just like this."""
    DIFFERS = "differs"
    """Not published: the image is known and differs; `--replace` publishes it."""
    RESUMED = "resumed"
    """Not published: an earlier, interrupted run did."""
    UNSUPPORTED = "unsupported"
    """Not published: by its name no still picture."""
    FAILED = "failed"
    """Not published: see the reason."""


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A file that could not be published."""

    path: str
    reason: str


@dataclass(slots=True, kw_only=True)
class BackfillSummary:
    """How far a backfill is: `done` of `total` files have come to an end."""

    total: int
    counts: Counter[End] = field(default_factory=Counter)
    failures: list[FileFailed] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)
    """The first few; a folder may hold any number of other files."""

    @property
    def done(self) -> int:
        """Files with an end."""
        return self.counts.total()

    @property
    def published(self) -> int:
        """Files whose event was acknowledged."""
        return self.counts[End.PUBLISHED]

    def note(self, path: str, end: End, reason: str = "") -> None:
        """Count one file."""
        self.counts[end] += 1
        if end is End.FAILED:
            self.failures.append(FileFailed(path, reason))
        elif end is End.UNSUPPORTED and len(self.unsupported) < NAMED:
            self.unsupported.append(path)


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
        if file.exists():
            self._load(file, what)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lines = file.open("a", encoding="utf-8")
        if file.stat().st_size == 0:
            self._write(json.dumps(what))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
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
        if self._lines is not None:
            self._lines.write(line + "\n")
            self._lines.flush()
            # A process that is killed loses nothing; a power cut repeats a few files, which is
            # harmless, so each line is not worth a sync.

    def _load(self, file: Path, what: dict[str, str]) -> None:
        text = file.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a kill may have cut the last line
        if len(whole) != len(text):
            os.truncate(file, len(whole.encode()))
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
        except json.JSONDecodeError as error:
            raise BackfillRefused(f"{file} is no state file of a backfill: remove it") from error
        if lines and lines[0] != what:
            raise BackfillRefused(
                f"{file} belongs to another backfill ({lines[0]}): name another state file, or "
                "remove it"
            )
        self.finished = set(lines[1:])
