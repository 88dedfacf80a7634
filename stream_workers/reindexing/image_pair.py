"""What each of two generations holds of one image in, how the two differ out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sightline.engine.errors import RejectReason
from sightline.engine.records import DecisionFence, Fence, IndexedDecision, IndexedImage
from sightline.schemas.images import ImageDeleted
from sightline.schemas.indexed import Outcome
from sightline.schemas.topics import DELETE_RETENTION_MS
from sightline.stream_workers.reindexing.parity import Reason

GONE = frozenset(
    {RejectReason.OBJECT_MISSING, RejectReason.OBJECT_REFUSED, RejectReason.OBJECT_CHANGED}
)
"""Why a picture that was indexed once can never be indexed again, whatever the model."""


class Stamp(NamedTuple):
    """How far each generation is with an image."""

    old: Fence | None
    new: Fence | None
    old_decision: DecisionFence | None
    new_decision: DecisionFence | None

    def moved_from(self, before: Stamp) -> bool:
        """Whether the image, or the decision about it, changed in both since then."""
        images = self.old != before.old and self.new != before.new
        decided = (
            self.old_decision != before.old_decision and self.new_decision != before.new_decision
        )
        return images or decided


class ImagePair(NamedTuple):
    """What each generation holds of one image."""

    old: IndexedImage | None
    new: IndexedImage | None
    old_decision: IndexedDecision | None
    new_decision: IndexedDecision | None

    @property
    def stamp(self) -> Stamp:
        """How far each of the two is."""
        return Stamp(
            None if self.old is None else self.old.fence,
            None if self.new is None else self.new.fence,
            None if self.old_decision is None else self.old_decision.fence,
            None if self.new_decision is None else self.new_decision.fence,
        )

    def difference(self, now: datetime) -> tuple[Reason, str] | None:
        """How the catalogue's part of the two differs; None: not at all."""
        old, new = self.old, self.new
        if self.stamp.old_decision != self.stamp.new_decision:
            return Reason.DECISION, f"{_told(self.old_decision)}, not {_told(self.new_decision)}"
        if old is None or new is None:
            return _alone(old, new, now)
        return _unlike(old, new)


def _unlike(old: IndexedImage, new: IndexedImage) -> tuple[Reason, str] | None:
    """How two entries of one image differ; None: not at all."""
    if old.fence != new.fence:
        return Reason.VERSION, f"{tuple(new.fence)}, not {tuple(old.fence)}"
    if old.outcome is Outcome.INDEXED and new.outcome is Outcome.REJECTED and new.reason in GONE:
        return Reason.GONE, f"its bytes are gone or others by now ({new.reason})"
    if old.outcome != new.outcome:
        return Reason.OUTCOME, f"{new.outcome} ({new.reason}), not {old.outcome}"
    if old.state != new.state:
        return Reason.STATE, f"{_fields(old, new)} differ"
    if old.listed != new.listed:
        return Reason.LISTING, "listed by one of them only"
    return None


def _alone(
    old: IndexedImage | None, new: IndexedImage | None, now: datetime
) -> tuple[Reason, str] | None:
    """What it means that one of the two has no such image."""
    if old is not None:
        return Reason.MISSING, f"version {old.version} ({old.outcome})"
    if new is None:
        return None
    expired = now - timedelta(milliseconds=DELETE_RETENTION_MS)
    if isinstance(new.state, ImageDeleted) and new.appended < expired:
        return None  # the old one's was removed after its retention, as this one's will be
    return Reason.EXTRA, f"version {new.version} ({new.outcome})"


def _told(decision: IndexedDecision | None) -> str:
    if decision is None:
        return "none"
    return f"{decision.decision.moderation} (version {decision.fence.version})"


def _fields(old: IndexedImage, new: IndexedImage) -> str:
    names = type(old.state).model_fields
    differing = [n for n in names if getattr(old.state, n) != getattr(new.state, n, None)]
    return ", ".join(differing) or "types"
