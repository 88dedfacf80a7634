"""Catalogue against index: what is missing, stale, extra or unpublished, listed and repaired.

The catalogue is both image topics merged by version, and the entries of the `sightline` authority
(whose events a crash may have left unpublished).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from sightline.engine.object_store.entries import Looked
from sightline.engine.ports import Clock, EventProducer, VectorIndex
from sightline.engine.records import IndexedImage, Message, ProducerRecord
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageState
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL
from sightline.stream_workers.image_log.winners import Winners, event_of, merge
from sightline.stream_workers.reconciling.differences import (
    DifferenceKind,
    ImageDifference,
    Report,
    compare,
    is_expired,
    retained_since,
    unreadable_record,
)

T = TypeVar("T")
_AT_ONCE = 500


def read_in_parts(read: Callable[[list[str]], Mapping[str, T]], ids: Iterable[str]) -> dict[str, T]:
    """Read some hundred ids at a time, since a request for all could be too large."""
    left, found = sorted(ids), dict[str, T]()
    for start in range(0, len(left), _AT_ONCE):
        found |= read(left[start : start + _AT_ONCE])
    return found


def purge_expired(index: VectorIndex, now: datetime) -> int:
    """Remove from an index the tombstones past their retention; how many.

    For a generation that no longer serves, or not yet: nobody compares it with the log.

    Raises:
        PartUnavailable: the index did not answer; a repeat goes on.
    """
    before = retained_since(now)
    gone = [image.image_id for image in index.scan() if is_expired(image, before)]
    for start in range(0, len(gone), _AT_ONCE):
        index.purge(gone[start : start + _AT_ONCE])
    return len(gone)


@dataclass(slots=True, eq=False, kw_only=True)
class Reconciler:
    """Compares and repairs; safe beside running workers, whose fences make repeats harmless.

    Args:
        read_images: all records of both image topics, up to now.
        kept: each image of the `sightline` catalogue with what it holds of it, readable or not.
        finish: publishes what it holds of one image, unless that was done.
        forget: removes an image's entry from the `sightline` catalogue if it says deleted.
        settle: waits a moment, so that what workers are just applying is not taken for lost.
    """

    read_images: Callable[[], Iterable[Message]]
    index: VectorIndex
    producer: EventProducer
    kept: Callable[[], Iterable[tuple[str, Looked[ImageState]]]]
    finish: Callable[[str], object]
    forget: Callable[[str], None]
    settle: Callable[[], None]
    clock: Clock
    _winners: Winners = field(default_factory=dict, init=False)

    def check(self) -> Report:
        """Compare log and index, and list what the catalogue holds that is in neither.

        Raises:
            PartUnavailable: broker, store or index did not answer.
        """
        held = [_held(image_id, looked) for image_id, looked in self.kept()]
        report = self.compared()
        found = (*report.differences, *(one for one in held if one is not None))
        return replace(report, differences=found)

    def compared(self) -> Report:
        """Compare log and index, and look again at what differs after a moment.

        Raises:
            PartUnavailable: broker or index did not answer.
        """
        self._winners = merge(self.read_images())
        indexed = {image.image_id: image for image in self.index.scan()}
        expired = self._expired_before()
        found = compare(self._winners, indexed, expired_before=expired)
        if found:
            self.settle()
            found = self._again(found, expired)
        return Report(catalogued=len(self._winners), indexed=len(indexed), differences=tuple(found))

    def repair(self, report: Report) -> int:
        """Mend what a check found; how many were mended: all that can be read.

        A repeat does no harm.

        Raises:
            PartUnavailable: broker, store or index did not answer; repeat.
        """
        by_kind = {
            kind: [d for d in report.differences if d.kind is kind] for kind in DifferenceKind
        }
        for difference in by_kind[DifferenceKind.UNPUBLISHED]:
            self.finish(difference.image_id)
        for difference in by_kind[DifferenceKind.MISSING] + by_kind[DifferenceKind.STALE]:
            self._publish_winner(difference.image_id)
        self._publish_indexed([difference.image_id for difference in by_kind[DifferenceKind.EXTRA]])
        self._purge([difference.image_id for difference in by_kind[DifferenceKind.EXPIRED]])
        return report.mendable

    def _again(self, found: Sequence[ImageDifference], expired: datetime) -> list[ImageDifference]:
        ids = {difference.image_id for difference in found}
        winners = {image_id: self._winners[image_id] for image_id in ids & self._winners.keys()}
        return compare(winners, self._get(ids), expired_before=expired)

    def _get(self, ids: Iterable[str]) -> dict[str, IndexedImage]:
        return read_in_parts(self.index.get, ids)

    def _publish_winner(self, image_id: str) -> None:
        event = self._winners.get(image_id)
        if event is None:  # provisional in the index only: that is the last word on it
            self._publish_indexed([image_id])
        else:
            self._append(IMAGES.name, event)

    def _publish_indexed(self, ids: Sequence[str]) -> None:
        for image in self._get(ids).values():
            if not image.unreadable:
                self._append(image.winner.topic, event_of(image))

    def _append(self, topic: str, event: Event[ImageState]) -> None:
        self.producer.append(ProducerRecord(topic, event.data.image_id, event.encode())).result()

    def _purge(self, ids: Sequence[str]) -> None:
        """Nulls first: a crash in between leaves an extra tombstone, found by the next check."""
        for image_id in self._still_expired(ids):
            for topic in (IMAGES, IMAGES_BACKFILL):
                self.producer.append(ProducerRecord(topic.name, image_id, None)).result()
        gone = self._still_expired(ids)
        for image_id in gone:
            self.forget(image_id)
        self.index.purge(gone)

    def _still_expired(self, ids: Sequence[str]) -> list[str]:
        """Those that no upload has brought back meanwhile."""
        expired = self._expired_before()
        return [image.image_id for image in self._get(ids).values() if is_expired(image, expired)]

    def _expired_before(self) -> datetime:
        return retained_since(self.clock.now())


def _held(image_id: str, looked: Looked[ImageState]) -> ImageDifference | None:
    """What the catalogue holds of an image that waits for somebody; None: nothing does."""
    entry = looked.entry
    if entry is None:
        return unreadable_record(image_id)
    if entry.published is not None:
        return None
    return ImageDifference(
        image_id=image_id,
        kind=DifferenceKind.UNPUBLISHED,
        catalogued=entry.state.version,
        indexed=None,
    )
