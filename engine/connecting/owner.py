"""Who owns the embedded stack: the running process writes its address, other commands read it."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from sightline.engine.private_files import make_private_folders, write_private
from sightline.engine.regular_files import read_text
from sightline.schemas import strict_json

_FILE = "owner.json"
_MAX_BYTES = 65_536
_START_TIME = 19
"""Field 22 of proc_pid_stat(5), counted from what follows the command's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The process that holds the data directory."""

    pid: int
    url: str
    bootstrap_servers: str


def announce(data_directory: Path, owner: Owner) -> None:
    """Write the owner's address, all at once."""
    make_private_folders(data_directory)
    draft = data_directory / f"{_FILE}.{owner.pid}"
    write_private(draft, json.dumps(asdict(owner) | {"birth": _birth(owner.pid)}))
    draft.replace(data_directory / _FILE)


def withdraw(data_directory: Path) -> None:
    """Remove the address; repeated calls do nothing."""
    (data_directory / _FILE).unlink(missing_ok=True)


def find_owner(data_directory: Path) -> Owner | None:
    """The living owner, or None; an address left by a killed process counts as none.

    Also when its number has been given to another process since.
    """
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, OverflowError):
        written = dict(strict_json.loads(read_text(data_directory / _FILE, _MAX_BYTES)))
        birth = written.pop("birth")
        owner = Owner(**written)
        os.kill(owner.pid, 0)
        return owner if _birth(owner.pid) == birth else None
    return None


def _birth(pid: int) -> str:
    """When the process began, in the kernel's ticks; "" where the kernel does not tell."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return told.rpartition(")")[2].split()[_START_TIME]
