"""Every image of two generations, compared while both go on: what differs, and what only moved."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from sightline.engine.pacing import Pace
from sightline.engine.ports import Clock, VectorIndex
from sightline.engine.records import IndexedDecision, IndexedImage, SearchRequest, Sight
from sightline.engine.stopping import until
from sightline.stream_workers.reindexing.image_pair import ImagePair, Stamp
from sightline.stream_workers.reindexing.parity import NAMED, Compared, ParityDifference, Reason
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


@dataclass(frozen=True, slots=True, eq=False)
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

    old: VectorIndex
    new: VectorIndex
    _: KW_ONLY
    settle: Callable[[], object]
    pace: Pace
    clock: Clock
    stop: threading.Event
    sample: Sample

    def compare(self) -> Generator[int, None, Compared]:
        """Look at every image, and again at those that differ; says how many it has read now.

        Raises:
            PartUnavailable: an index did not answer; repeat it whole.
        """
        tally, first = yield from self._look_at_all()
        left, looked_again = dict(first), len(first)
        for _ in range(_LOOKS):
            if not left or self.stop.is_set():
                break
            self.settle()
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
        for batch in self._batches(self.old.scan(vectors=True, batch=_AT_ONCE)):
            tally.images += len(batch)
            tally.listed += sum(image.listed for image in batch)
            found |= self._differing({image.image_id: image for image in batch})
            yield len(batch)
        for batch in self._batches(self.new.scan(vectors=True, batch=_AT_ONCE)):
            self.sample.take(batch)
            found |= self._look(self._unknown(batch))
            yield len(batch)
        for decided in self._batches(self.old.scan_decisions(batch=_AT_ONCE)):
            tally.decisions += len(decided)
            found |= self._look(self._undecided(decided, self.new))
        for decided in self._batches(self.new.scan_decisions(batch=_AT_ONCE)):
            found |= self._look(self._undecided(decided, self.old))
        return tally, found

    def _batches(self, items: Iterable[T]) -> Iterator[list[T]]:
        """Batch by batch, no faster than the pace lets it."""
        for batch in until(self.stop, in_batches(items, _AT_ONCE)):
            self.pace.wait(len(batch))
            yield batch

    def _unknown(self, images: Sequence[IndexedImage]) -> list[str]:
        """Ids of the new generation's images that the old one does not have."""
        ids = {image.image_id for image in images}
        return sorted(ids - self.old.get(ids).keys())

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
            old = self.old.get(ids, vectors=True)
            found |= self._differing(old, ids)
        return found

    def _differing(
        self, old: Mapping[str, IndexedImage], image_ids: Sequence[str] | None = None
    ) -> dict[str, Suspect]:
        ids = list(old) if image_ids is None else list(image_ids)
        new = self.new.get(ids, vectors=True)
        listed = [image_id for image_id, image in new.items() if image.listed]
        shown = self.new.get(listed, sight=Sight(listed=True)) if listed else {}
        decided = _decided(self.old, old, ids), _decided(self.new, new, ids)
        found = {}
        for image_id in ids:
            pair = ImagePair(
                old.get(image_id), new.get(image_id), *(side.get(image_id) for side in decided)
            )
            said = self._difference(pair, is_shown=image_id in shown)
            if said is not None:
                found[image_id] = Suspect(pair.stamp, *said)
        return found

    def _difference(self, pair: ImagePair, *, is_shown: bool) -> tuple[Reason, str] | None:
        """How an image differs; None: not at all."""
        said = pair.difference(self.clock.now())
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
        dimensions, norm = self.new.spec.dimensions, float(np.linalg.norm(new.vector))
        if new.vector.shape != (dimensions,) or not abs(norm - 1) <= _NORM_TOLERANCE:
            says = f"shape {new.vector.shape}, norm {norm:.4f}; ({dimensions},) and 1 expected"
            return Reason.VECTOR, says
        if not new.listed and self._returns(new):
            return Reason.SHOWN, "a search by its own vector returns it"
        return None

    def _returns(self, hidden: IndexedImage) -> bool:
        assert hidden.vector is not None  # noqa: S101 - the caller has just looked
        self.pace.wait(PAGE)
        hits = self.new.search(SearchRequest(vector=hidden.vector, limit=PAGE))
        return any(hit.image.image_id == hidden.image_id for hit in hits)


def _decided(
    index: VectorIndex, images: Mapping[str, IndexedImage], image_ids: Sequence[str]
) -> Mapping[str, IndexedDecision]:
    """The decisions that an index holds about images; those that it has bring theirs along."""
    brought = {name: one.decision for name, one in images.items() if one.decision is not None}
    alone = [image_id for image_id in image_ids if image_id not in images]
    return brought | index.decisions(alone) if alone else brought
