"""Whose events an embedded index holds: written beside it, compared whenever it is opened.

An index of another log is worse than none: its versions are above those of the new log, so that
events which were acknowledged would never be applied, and its images lie in another store.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sightline.engine.durable_files import write_atomically
from sightline.engine.errors import OriginMismatch
from sightline.engine.vector_index.edge.directory import read_json

FILE = "made-from.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOrigin:
    """What an index was made from; nothing in it changes when a part moves to another address."""

    log: str
    """A Kafka cluster's id and topic prefix, or the journal of a data directory."""
    bucket: str
    """Ours, in the object store."""

    def __str__(self) -> str:
        return f"{self.log} and bucket {self.bucket}"


def check_origin(directory: Path, origin: IndexOrigin) -> None:
    """Refuse an index that was made from something else; one that does not say is believed.

    Raises:
        OriginMismatch: the message names both and what to do.
    """
    stored = read_json(directory / FILE)
    if stored is None or stored == asdict(origin):
        return
    told = " and bucket ".join(str(stored.get(name, "?")) for name in ("log", "bucket"))
    raise OriginMismatch(
        f"index: {directory} was made from {told}, not from {origin}; go back to the settings "
        "that made it, or set index.directory or data_directory to another one "
        f"(were topics and bucket moved whole, remove {FILE} there)"
    )


def record_origin(directory: Path, origin: IndexOrigin) -> None:
    """Write it once; a repeat does nothing. Only the owner of the directory may."""
    if not (directory / FILE).exists():
        write_atomically(directory / FILE, json.dumps(asdict(origin), indent=2))
