"""How far the roll-out of a model is, and what became of those before: one object for all.

Every change is a compare-and-set on what was read, so that of two processes that believe it is
their turn one is told that it is not.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from sightline.engine.object_store.json_record import (
    StateRecord,
    Stored,
    StoredTime,
    StoredValue,
)
from sightline.engine.ports import ObjectStore
from sightline.engine.serving.values import Experiment, GenerationName, Reference, Serves
from sightline.schemas.models import readable
from sightline.stream_workers.rolling_out.figures import ServingFigures

PREFIX = "serving/"
STAGES = ("indexed", "compared", "coming", "watched", "going")
"""How far a model may be, in order."""
KEPT_PAST = 200
"""So many roll-outs that ended are remembered; their models are not begun again."""


class RolloutOutcome(StrEnum):
    """Names what became of a released model in the end."""

    SERVES = "serves"
    """It serves, and was watched for as long as it is to be."""
    REFUSED = "refused"
    """Its generation differs from the one that serves."""
    WORSE = "worse"
    """Its experiment says so, or cannot be believed."""
    ROLLED_BACK = "rolled_back"
    """It served, and errors, freshness or clicks were worse than before."""
    LEFT = "left"
    """Somebody decided otherwise: dropped or left its generation, or stopped its experiment."""
    FAILED = "failed"
    """A step of it can never be done."""


class ExperimentFinding(StoredValue):
    """An experiment's finding, and its words for a person."""

    finding: str
    """`better`, `worse`, `equal`, `too_little`, `void` or `incomplete`."""
    says: str


class RolloutUnderWay(StoredValue):
    """One model on its way into service; what is filled says how far it is."""

    model: Reference
    began_at: StoredTime
    generation: GenerationName | None = None
    """Its index, as soon as that was asked for."""
    at_once: Serves | None = None
    """How it can serve before that is filled, by a matrix on the query; None: it cannot."""
    proven: bool = False
    """Whether others were told that the index lacks nothing."""
    experiment: Experiment | None = None
    """The experiment as it was started; None: it was not."""
    finding: ExperimentFinding | None = None
    """What its experiment came to; None: it runs, or there was none."""
    stopped: bool = False
    """Whether the experiment was ended after that."""
    attempt: int = 1
    """Which of its experiments that is: one whose beginning the log forgot is begun anew."""
    before: ServingFigures | None = None
    """The figures of what served, just before the switch."""
    switched_at: StoredTime | None = None
    fallen: str = ""
    """Why it must go again; empty: it need not."""

    @property
    def stage(self) -> str:
        """What happens to it now: one of `STAGES`."""
        if self.switched_at is not None:
            return "going" if self.fallen else "watched"
        if self.experiment is not None:
            return "coming" if self.stopped else "compared"
        return "coming" if self.proven or self.at_once is not None else "indexed"


class RolloutEnded(StoredValue):
    """A model, and what became of it."""

    model: Reference
    outcome: RolloutOutcome
    says: str
    ended_at: StoredTime


class RolloutState(StoredValue):
    """The model that is on its way, and those before it, newest first."""

    format: Literal[1] = 1
    under_way: RolloutUnderWay | None = None
    past: tuple[RolloutEnded, ...] = ()

    @property
    def done_with(self) -> frozenset[str]:
        """Names the models that are not begun again."""
        return frozenset(ended.model for ended in self.past)

    def begun(self, model: str, now: datetime) -> RolloutState:
        """A model is on its way from now on."""
        return RolloutState(under_way=RolloutUnderWay(model=model, began_at=now), past=self.past)

    def ended(self, model: str, outcome: RolloutOutcome, says: str, now: datetime) -> RolloutState:
        """None is on its way any more, and this model is not begun again."""
        last = RolloutEnded(model=model, outcome=outcome, says=readable(says), ended_at=now)
        return RolloutState(past=(last, *self.past)[:KEPT_PAST])


StoredRollout = Stored[RolloutState]


class RolloutRecord(StateRecord[RolloutState]):
    """The roll-outs of one deployment's index in the bucket.

    Args:
        store: where it lies.
        bucket: our own.
        index: `index.collection_prefix`: two indexes that share a bucket have one each.
    """

    def __init__(self, store: ObjectStore, bucket: str, index: str) -> None:
        super().__init__(
            store,
            bucket,
            f"{PREFIX}{index}/rollout.json",
            RolloutState(),
            advice="removed, the newest release is rolled out anew unless it serves",
        )


def report_lease_key(index: str) -> str:
    """Names the object by which one process at a time reads the report of an experiment."""
    return f"{PREFIX}{index}/rollout-report-lease.json"


def rollout_lease_key(index: str) -> str:
    """Names the object by which one process at a time rolls out."""
    return f"{PREFIX}{index}/rollout-lease.json"
