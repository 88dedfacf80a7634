"""What the retraining of a model has come to, for all who run it and all who look: one object.

Every change is a compare-and-set on what was read, so that of two processes that believe it is
their turn one is told that it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from sightline.engine.label_data.triple_manifest import Ends
from sightline.engine.object_store.json_record import (
    StateRecord,
    Stored,
    StoredTime,
    StoredValue,
)
from sightline.engine.ports import ObjectStore
from sightline.schemas.fields import Sha256
from sightline.schemas.models import GateLine, readable

PREFIX = "retraining/"


class AttemptOutcome(StrEnum):
    """What became of an attempt to make a better model."""

    RELEASED = "released"
    REFUSED = "refused"
    TOO_LITTLE = "too_little"
    FAILED = "failed"
    """It came to no verdict: there was nothing to train on, or its process kept dying."""


class ReadUpTo(StoredValue):
    """How far one partition of the labelled topic is read."""

    log: str
    partition: int
    end: int


class JudgedHead(StoredValue):
    """What the gate said of a trained head."""

    head: Sha256
    """SHA-256 of the head's file: another head must be judged again."""
    outcome: AttemptOutcome
    strength: float
    """What it would be released at."""
    needs: int
    """Clusters more that it takes to decide; 0: it is decided."""
    lines: tuple[GateLine, ...]
    against: Sha256 | None = None
    """The digest of what serves, where that is a model of the registry."""
    metrics: Mapping[str, float] = {}
    """Every measure at that strength, for the registry."""
    taken_back: int = 0
    """Triples that taught it and were taken back before it was judged."""


class Attempt(StoredValue):
    """A model in the making; what is filled says how far it is."""

    number: Annotated[int, Field(ge=1)]
    began_at: StoredTime
    ends: tuple[ReadUpTo, ...]
    """Up to where triples are read, whoever goes on with it; judgements: those that the log had
    when it began."""
    propensity_version: int | None = None
    """Names the position-bias curve that weighs clicks; 0: none does. None: an earlier release
    began it, which took the newest."""
    starts: int = 1
    """How many processes took it up: all but the last died of it, or with it."""
    judged: JudgedHead | None = None
    digest: Sha256 | None = None
    """In the registry; a release is all that is left to do."""


class Ended(StoredValue):
    """An attempt, and what became of it."""

    attempt: Attempt
    outcome: AttemptOutcome
    says: str
    ended_at: StoredTime


class RetrainingState(StoredValue):
    """The attempt that is under way, and the last one that ended."""

    format: Literal[1] = 1
    under_way: Attempt | None = None
    last: Ended | None = None

    def since(self) -> Ends:
        """Up to where the last attempt read, whatever became of it."""
        return {} if self.last is None else as_ends(self.last.attempt.ends)

    def begun(self, ends: Ends, now: datetime, *, propensity_version: int = 0) -> RetrainingState:
        """A new attempt on what was written up to these offsets, weighed by a curve."""
        number = 1 if self.last is None else self.last.attempt.number + 1
        read = tuple(
            ReadUpTo(log=log, partition=partition, end=end)
            for (log, partition), end in sorted(ends.items())
        )
        attempt = Attempt(
            number=number, began_at=now, ends=read, propensity_version=propensity_version
        )
        return self.model_copy(update={"under_way": attempt})

    def ended(self, outcome: AttemptOutcome, says: str, now: datetime) -> RetrainingState:
        """The attempt under way as the last one.

        Raises:
            ValueError: none is under way.
        """
        if self.under_way is None:
            raise ValueError("no attempt is under way")
        last = Ended(attempt=self.under_way, outcome=outcome, says=readable(says), ended_at=now)
        return RetrainingState(last=last)


def as_ends(read: tuple[ReadUpTo, ...]) -> Ends:
    """The same offsets as readers of triples take them."""
    return {(each.log, each.partition): each.end for each in read}


StoredState = Stored[RetrainingState]


class RetrainingRecord(StateRecord[RetrainingState]):
    """The state of one model's retraining in the bucket.

    Args:
        store: where it lies.
        bucket: our own.
        model: the name in the registry.
    """

    def __init__(self, store: ObjectStore, bucket: str, model: str) -> None:
        super().__init__(
            store,
            bucket,
            f"{PREFIX}{model}/state.json",
            RetrainingState(),
            advice="removed, all triples count as new",
        )


def retraining_lease_key(model: str) -> str:
    """Names the object by which one process at a time trains a model."""
    return f"{PREFIX}{model}/lease.json"
