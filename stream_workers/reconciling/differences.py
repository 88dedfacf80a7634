"""How a catalogue and an index differ, image by image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sightline.engine.records import ImageStage, IndexedImage
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageState
from sightline.schemas.indexed import Outcome
from sightline.schemas.topics import DELETE_RETENTION_MS
from sightline.stream_workers.image_log.winners import E, W, Winners, order


class DifferenceKind(StrEnum):
    """How an image in the catalogue differs from the one in the index."""

    MISSING = "missing"
    """The catalogue has it, the index does not: its event is published again."""
    STALE = "stale"
    """The index has a lower version, or only its provisional state: as missing."""
    EXTRA = "extra"
    """The index has it, or a higher version, the log does not: the index's event is published."""
    UNPUBLISHED = "unpublished"
    """The `sightline` catalogue has it, a crash kept it from the log: published."""
    EXPIRED = "expired"
    """A tombstone past its retention: purged, and a null written to both image topics."""
    UNDECIDED = "undecided"
    """The operator decided about it, and the index lacks that: the decision is published again."""
    UNLOGGED = "unlogged"
    """The index has a decision about it that the log lacks: the index's is published."""
    UNREADABLE = "unreadable"
    """What is kept of it, its state or the operator's decision, cannot be read: passed over; an
    admin may delete the image, or decide anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDifference:
    """One image that differs between catalogue and index, and how."""

    image_id: str
    kind: DifferenceKind
    catalogued: int | None
    """Version in the catalogue."""
    indexed: int | None
    """Version in the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How many images a comparison looked at, and which of them differ."""

    catalogued: int
    """Images in the catalogue."""
    indexed: int
    """Images in the index."""
    differences: tuple[ImageDifference, ...]

    def count(self, kind: DifferenceKind) -> int:
        """Return how many images differ in that way."""
        return sum(difference.kind is kind for difference in self.differences)

    @property
    def mendable(self) -> int:
        """Return how many images a repair mends: all that differ and can be read."""
        return len(self.differences) - self.count(DifferenceKind.UNREADABLE)


def unreadable_record(image_id: str) -> ImageDifference:
    """Says that something is kept of an image that cannot be read."""
    return ImageDifference(
        image_id=image_id, kind=DifferenceKind.UNREADABLE, catalogued=None, indexed=None
    )


def compare(
    winners: Winners, indexed: Mapping[str, IndexedImage], *, expired_before: datetime
) -> list[ImageDifference]:
    """Return every image that differs, in the order of their ids."""
    return differences(
        winners, indexed, lambda _, event, image: _kind(event, image, expired_before)
    )


def differences(
    winners: Mapping[str, E],
    indexed: Mapping[str, W],
    kind_of: Callable[[str, E | None, W | None], DifferenceKind | None],
) -> list[ImageDifference]:
    """Return what differs by `kind_of`, in the order of the image ids."""
    found = []
    for image_id in sorted(winners.keys() | indexed.keys()):
        event, held = winners.get(image_id), indexed.get(image_id)
        kind = kind_of(image_id, event, held)
        if kind is not None:
            found.append(
                ImageDifference(
                    image_id=image_id,
                    kind=kind,
                    catalogued=event.data.version if event else None,
                    indexed=held.fence.version if held else None,
                )
            )
    return found


def _kind(
    event: Event[ImageState] | None, image: IndexedImage | None, expired_before: datetime
) -> DifferenceKind | None:
    if image is None:
        return DifferenceKind.MISSING
    ahead = event is None or order(event) < image.fence[:2]
    behind = event is not None and order(event) > image.fence[:2]
    if behind or image.stage is ImageStage.PROVISIONAL:
        return DifferenceKind.STALE
    if image.outcome is Outcome.DELETED and image.appended < expired_before:
        return DifferenceKind.EXPIRED if is_expired(image, expired_before) else None
    return DifferenceKind.EXTRA if ahead else None


def is_expired(image: IndexedImage, before: datetime) -> bool:
    """Whether the delete is old, here too: an index just made from the log has more to read.

    An older upload may still lie before its worker, on the other lane, say. Purged before that is
    read, the tombstone could not stop it, and the deleted image would be back.
    """
    latest = max(image.appended, image.applied)
    return image.outcome is Outcome.DELETED and latest < before


def retained_since(now: datetime) -> datetime:
    """Tombstones of before this instant have outlived their retention."""
    return now - timedelta(milliseconds=DELETE_RETENTION_MS)
