"""Who owns the embedded stack: the running process writes its address, other commands read it."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "owner.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The process that holds the data directory."""

    pid: int
    url: str
    bootstrap_servers: str


def announce(data_directory: Path, owner: Owner) -> None:
    """Write the owner's address, all at once."""
    data_directory.mkdir(parents=True, exist_ok=True)
    draft = data_directory / f"{_FILE}.{owner.pid}"
    draft.write_text(json.dumps(asdict(owner)))
    draft.replace(data_directory / _FILE)


def withdraw(data_directory: Path) -> None:
    """Remove the address; repeated calls do nothing."""
    (data_directory / _FILE).unlink(missing_ok=True)


def find(data_directory: Path) -> Owner | None:
    """The living owner, or None; an address left by a killed process counts as none."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        owner = Owner(**json.loads((data_directory / _FILE).read_text()))
        os.kill(owner.pid, 0)
        return owner
    return None
