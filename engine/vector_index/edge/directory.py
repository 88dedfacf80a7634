"""The directory of the embedded index: who owns it, which generation serves, which shard is live.

::

    <directory>/current                   name of the generation that serves
    <directory>/<generation>/spec.json    what made it
    <directory>/<generation>/current      name of its live shard directory
    <directory>/<generation>/owner.lock   held by the one process that has it open
    <directory>/<generation>/shard-7/     the engine's own files
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

from sightline.engine.durable_files import write_atomically
from sightline.engine.errors import DiskFull, IndexOwned

_CURRENT = "current"
_SHARD = "shard-"


def read_current(directory: Path) -> str | None:
    """The name in the `current` file of a directory; None where there is none."""
    try:
        return (directory / _CURRENT).read_text().strip() or None
    except FileNotFoundError:
        return None


def write_current(directory: Path, name: str) -> None:
    """Point `current` at another name, atomically and durably."""
    write_atomically(directory / _CURRENT, name)


def read_json(path: Path) -> dict[str, Any] | None:
    """A small JSON file; None where there is none."""
    try:
        loaded: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return loaded


class OwnedDirectory:
    """One generation's directory, owned by this process until `release`.

    The engine damages a live shard that is opened twice, so ownership is taken with a lock of
    our own before the engine sees the directory; the kernel frees it when the process dies.

    Raises:
        IndexOwned: another process, or another object in this one, has it.
    """

    def __init__(self, path: Path, *, reserve_bytes: int) -> None:
        self.path = path
        self._reserve_bytes = reserve_bytes
        self._lock = _locked(path / "owner.lock")

    def live(self) -> Path | None:
        """The live shard; None before the first. Leftovers of killed optimisers are removed."""
        name = read_current(self.path)
        for leftover in self.path.glob(f"{_SHARD}*"):
            if leftover.name != name:
                shutil.rmtree(leftover)
        return None if name is None else self.path / name

    def next_shard(self) -> Path:
        """A path for another shard, beside the live one and those that were."""
        taken = [int(path.name.removeprefix(_SHARD)) for path in self.path.glob(f"{_SHARD}*")]
        return self.path / f"{_SHARD}{max(taken, default=0) + 1}"

    def make_live(self, shard: Path) -> None:
        """From now on, also after a crash, this shard is the one."""
        write_current(self.path, shard.name)

    def check_space(self, needed_bytes: int = 0) -> None:
        """Raise `DiskFull` while there is still room: the engine's memory maps die without it."""
        free = shutil.disk_usage(self.path).free
        if free < self._reserve_bytes + needed_bytes:
            raise DiskFull(
                f"index: {free // 2**20} MiB free under {self.path}, "
                f"{(self._reserve_bytes + needed_bytes) // 2**20} MiB needed; free some space and "
                "start again, nothing acknowledged is lost"
            )

    def release(self) -> None:
        """Let another process own it; repeated calls do nothing."""
        self._lock.close()


def _locked(path: Path) -> IO[str]:
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise IndexOwned(
            f"index: {path.parent} is in use by process {owner}; stop it, or talk to its API"
        ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}")
    file.flush()
    return file
