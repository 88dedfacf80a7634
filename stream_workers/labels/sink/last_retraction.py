"""What a round of retractions did, and of the last one for all who look: one small object.

Written after each round, by whichever process ran it, also the command. Of two at once the later
one stays: either is true.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from sightline.engine.errors import ObjectMissing, Unreadable
from sightline.engine.label_data.triple_manifest import PREFIX
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes

KEY = f"{PREFIX}last-retraction.json"
_MAX_BYTES = 65_536


@dataclass(slots=True)
class RetractionReport:
    """How many triples and files one run of the retraction looked at and changed."""

    triples_read: int = 0
    retracted: Counter[str] = field(default_factory=Counter)
    """Triples taken back now, by cause."""
    rows_removed: int = 0
    """Rows that left the files: repeats of one triple, and those retracted before, too."""
    entries_rewritten: int = 0
    orphans_removed: int = 0

    def __add__(self, other: RetractionReport) -> RetractionReport:
        """Adds up what two runs did, as if they were one."""
        return RetractionReport(
            self.triples_read + other.triples_read,
            self.retracted + other.retracted,
            self.rows_removed + other.rows_removed,
            self.entries_rewritten + other.entries_rewritten,
            self.orphans_removed + other.orphans_removed,
        )

    @property
    def changed(self) -> bool:
        """Whether the run took anything back or removed any file."""
        return bool(self.retracted or self.rows_removed or self.orphans_removed)


class LastRetraction(BaseModel):
    """When the last round of retractions ended, and what it did."""

    model_config = ConfigDict(frozen=True)

    finished_at: datetime
    triples_read: int = 0
    triples_retracted: int = 0
    rows_removed: int = 0

    @classmethod
    def of(cls, report: RetractionReport, finished_at: datetime) -> LastRetraction:
        """The round that this report is of."""
        return cls(
            finished_at=finished_at,
            triples_read=report.triples_read,
            triples_retracted=sum(report.retracted.values()),
            rows_removed=report.rows_removed,
        )


def tell_last(store: ObjectStore, bucket: str, last: LastRetraction) -> None:
    """Store it.

    Raises:
        PartUnavailable: the store did not answer.
    """
    store.put(bucket, KEY, last.model_dump_json().encode(), content_type="application/json")


def read_last(store: ObjectStore, bucket: str) -> LastRetraction | None:
    """The last round; None: there was none, or nobody can read what it said.

    Raises:
        PartUnavailable: the store did not answer.
    """
    try:
        return LastRetraction.model_validate_json(
            stored_bytes(store, bucket, KEY, max_bytes=_MAX_BYTES)
        )
    except (ObjectMissing, Unreadable, ValidationError):
        return None
