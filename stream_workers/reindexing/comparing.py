"""Every image of two generations, compared while both go on: what differs, and what only moved."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

import numpy as np

from sightline.engine.errors import RejectReason
from sightline.engine.pacing import Pace
from sightline.engine.ports import Clock, VectorIndex
from sightline.engine.records import (
    DecisionFence,
    Fence,
    IndexedDecision,
    IndexedImage,
    SearchRequest,
    Sight,
)
from sightline.engine.stopping import until
from sightline.schemas.images import ImageDeleted
from sightline.schemas.indexed import Outcome
from sightline.schemas.topics import DELETE_RETENTION_MS
from sightline.stream_workers.reindexing.parity import (
    NAMED,
    Compared,
    ParityDifference,
    Reason,
)
from sightline.stream_workers.reindexing.recall import Sample
from sightline.stream_workers.reindexing.seed import in_batches

T = TypeVar("T")
_AT_ONCE = 16
"""Images to one look, each of which the rate spreads: a search waits while they are compared."""
PAGE = 24
"""Hits of a search for a hidden image by its own vector."""
_LOOKS = 5
"""What differs is looked at so many times more, with a moment between."""
_NORM_TOLERANCE = 1e-3
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


class Suspect(NamedTuple):
    """An image that differed when it was looked at."""

    stamp: Stamp
    reason: Reason
    says: str


@dataclass(slots=True)
class _Tally:
    images: int = 0
    listed: int = 0
    decisions: int = 0


class Comparison:
    """Compares all images, none sampled, in batches that fit in memory.

    Args:
        old: the generation that serves.
        new: the one that is to be proven.
        settle: waits a moment, so that what is on its way is not taken for lost.
        pace: images a second that are read of either; a search counts for all that it returns.
        clock: tells which tombstones have outlived their retention.
        stop: ends it early; then what it found is not all.
        sample: sees every image of the new one, so that nobody reads it once more for that.
    """

    def __init__(
        self,
        old: VectorIndex,
        new: VectorIndex,
        *,
        settle: Callable[[], object],
        pace: Pace,
        clock: Clock,
        stop: threading.Event,
        sample: Sample,
    ) -> None:
        self._old = old
        self._new = new
        self._settle = settle
        self._pace = pace
        self._clock = clock
        self._stop = stop
        self._sample = sample

    def compare(self) -> Generator[int, None, Compared]:
        """Look at every image, and again at those that differ; says how many it has read now.

        Raises:
            PartUnavailable: an index did not answer; repeat it whole.
        """
        tally, first = yield from self._look_at_all()
        left, looked_again = dict(first), len(first)
        for _ in range(_LOOKS):
            if not left or self._stop.is_set():
                break
            self._settle()
            left = self._look(left)
        moving = {
            image_id
            for image_id, now in left.items()
            if now.stamp.moved_from(first[image_id].stamp)
        }
        differing = {i: left[i] for i in sorted(left.keys() - moving)}
        return Compared(
            images=tally.images,
            listed=tally.listed,
            hidden=tally.images - tally.listed,
            decisions=tally.decisions,
            looked_again=looked_again,
            moving=len(moving),
            differing=dict(Counter(suspect.reason for suspect in differing.values())),
            first=tuple(
                ParityDifference(image_id=image_id, reason=suspect.reason, says=suspect.says)
                for image_id, suspect in list(differing.items())[:NAMED]
            ),
        )

    def _look_at_all(self) -> Generator[int, None, tuple[_Tally, dict[str, Suspect]]]:
        """Read each generation once; ids that the other one has as well are compared only once."""
        tally, found = _Tally(), dict[str, Suspect]()
        for batch in self._batches(self._old.scan(vectors=True, batch=_AT_ONCE)):
            tally.images += len(batch)
            tally.listed += sum(image.listed for image in batch)
            found |= self._differing({image.image_id: image for image in batch})
            yield len(batch)
        for batch in self._batches(self._new.scan(vectors=True, batch=_AT_ONCE)):
            self._sample.take(batch)
            found |= self._look(self._unknown(batch))
            yield len(batch)
        for decided in self._batches(self._old.scan_decisions(batch=_AT_ONCE)):
            tally.decisions += len(decided)
            found |= self._look(self._undecided(decided, self._new))
        for decided in self._batches(self._new.scan_decisions(batch=_AT_ONCE)):
            found |= self._look(self._undecided(decided, self._old))
        return tally, found

    def _batches(self, items: Iterable[T]) -> Iterator[list[T]]:
        """Batch by batch, no faster than the pace lets it."""
        for batch in until(self._stop, in_batches(items, _AT_ONCE)):
            self._pace.wait(len(batch))
            yield batch

    def _unknown(self, images: Sequence[IndexedImage]) -> list[str]:
        """Ids of the new generation's images that the old one does not have."""
        ids = {image.image_id for image in images}
        return sorted(ids - self._old.get(ids).keys())

    def _undecided(self, decided: Sequence[IndexedDecision], other: VectorIndex) -> list[str]:
        """Ids that the other index has not got these decisions about."""
        held = other.decisions([decision.image_id for decision in decided])
        return [
            one.image_id
            for one in decided
            if (known := held.get(one.image_id)) is None or known.fence != one.fence
        ]

    def _look(self, image_ids: Iterable[str]) -> dict[str, Suspect]:
        """Those of the images that differ now."""
        found = dict[str, Suspect]()
        for ids in self._batches(sorted(image_ids)):
            old = self._old.get(ids, vectors=True)
            found |= self._differing(old, ids)
        return found

    def _differing(
        self, old: Mapping[str, IndexedImage], image_ids: Sequence[str] | None = None
    ) -> dict[str, Suspect]:
        ids = list(old) if image_ids is None else list(image_ids)
        new = self._new.get(ids, vectors=True)
        listed = [image_id for image_id, image in new.items() if image.listed]
        shown = self._new.get(listed, sight=Sight(listed=True)) if listed else {}
        decided = _decided(self._old, old, ids), _decided(self._new, new, ids)
        found = {}
        for image_id in ids:
            pair = _Pair(
                old.get(image_id), new.get(image_id), *(side.get(image_id) for side in decided)
            )
            said = self._difference(pair, is_shown=image_id in shown)
            if said is not None:
                found[image_id] = Suspect(pair.stamp, *said)
        return found

    def _difference(self, pair: _Pair, *, is_shown: bool) -> tuple[Reason, str] | None:
        """How an image differs; None: not at all."""
        said = pair.difference(self._clock.now())
        if said is not None or pair.new is None:
            return said
        if pair.new.listed and not is_shown:
            return Reason.UNSHOWN, "listed, and its own filter passes it over"
        return self._vector_differs(pair.new, pair.old)

    def _vector_differs(
        self, new: IndexedImage, old: IndexedImage | None
    ) -> tuple[Reason, str] | None:
        if new.vector is None:
            lacks = old is not None and old.vector is not None
            return (Reason.VECTOR, "there is none") if lacks else None
        dimensions, norm = self._new.spec.dimensions, float(np.linalg.norm(new.vector))
        if new.vector.shape != (dimensions,) or not abs(norm - 1) <= _NORM_TOLERANCE:
            says = f"shape {new.vector.shape}, norm {norm:.4f}; ({dimensions},) and 1 expected"
            return Reason.VECTOR, says
        if not new.listed and self._returns(new):
            return Reason.SHOWN, "a search by its own vector returns it"
        return None

    def _returns(self, hidden: IndexedImage) -> bool:
        assert hidden.vector is not None  # noqa: S101 - the caller has just looked
        self._pace.wait(PAGE)
        hits = self._new.search(SearchRequest(vector=hidden.vector, limit=PAGE))
        return any(hit.image.image_id == hidden.image_id for hit in hits)


def _decided(
    index: VectorIndex, images: Mapping[str, IndexedImage], image_ids: Sequence[str]
) -> Mapping[str, IndexedDecision]:
    """The decisions that an index holds about images; those that it has bring theirs along."""
    brought = {name: one.decision for name, one in images.items() if one.decision is not None}
    alone = [image_id for image_id in image_ids if image_id not in images]
    return brought | index.decisions(alone) if alone else brought


class _Pair(NamedTuple):
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
