"""The decisions of the index worker, pure: event and stored image in, what to do out.

What the rules leave open is decided in docs/adr/0010-index-worker.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from sightline.engine.records import IndexedImage, Stage, WinnerLocation
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageDeleted, ImageState, hiding_rank
from sightline.schemas.indexed import Outcome
from sightline.stream_workers.indexing.task import ImageTask, Passed, PictureFacts, Rejection


class Next(StrEnum):
    """What an event needs, given what is stored."""

    NOTHING = "nothing"
    """The stored image is at or past it."""
    WRITE = "write"
    """Its final state can be written without its bytes."""
    BYTES = "bytes"
    """Its bytes must be looked at; what it hides must be hidden first."""


def decide(task: ImageTask, stored: IndexedImage | None) -> Next:
    """What the event needs, `stored` being what the index keeps of its image."""
    if stored is not None and stored.fence >= task.fence:
        return Next.NOTHING
    if isinstance(task.state, ImageDeleted) or task.verdict is not None:
        return Next.WRITE
    return Next.WRITE if reuses_vector(task, stored) else Next.BYTES


def reuses_vector(task: ImageTask, stored: IndexedImage | None) -> bool:
    """Whether the stored vector was made from the bytes that the event promises.

    A generation has one model, so equal bytes mean an equal vector.
    """
    promised = task.promised_sha256
    return stored is not None and promised is not None and stored.content_sha256 == promised


def hides(task: ImageTask) -> bool:
    """Whether the event takes its image out of the results whatever its bytes are."""
    return hiding_rank(task.state) > 0


def facts_of(stored: IndexedImage) -> PictureFacts | None:
    """What the index knows about a stored image's bytes; None: not all of it."""
    if (
        stored.vector is None
        or stored.content_sha256 is None
        or stored.perceptual_hash is None
        or stored.width is None
        or stored.height is None
    ):
        return None
    return PictureFacts(
        stored.content_sha256, stored.perceptual_hash, stored.width, stored.height, stored.vector
    )


def final_outcome(task: ImageTask) -> Outcome:
    """How the event ends if nothing higher is stored, once its verdict is known."""
    if isinstance(task.state, ImageDeleted):
        return Outcome.DELETED
    if isinstance(task.verdict, Rejection):
        return Outcome.REJECTED
    return Outcome.HIDDEN if hides(task) else Outcome.INDEXED


def may_write(task: ImageTask, stage: Stage) -> bool:
    """Whether there is something to write: hiding needs no bytes, a final state its verdict."""
    if task.settled:
        return False
    if stage is Stage.PROVISIONAL or isinstance(task.state, ImageDeleted):
        return True
    return task.verdict is not None


class Standing(StrEnum):
    """How an event stands to what is stored after its write."""

    WON = "won"
    LOST = "lost"
    MISSING = "missing"
    """The stored image is below it: the write did not happen, or was purged."""


def standing(task: ImageTask, stored: IndexedImage | None) -> Standing:
    """How the event stands, `stored` being read after its write."""
    if stored is None or stored.fence < task.fence:
        return Standing.MISSING
    return Standing.WON if stored.fence == task.fence else Standing.LOST


def lies_after(location: WinnerLocation, other: WinnerLocation) -> bool:
    """Whether `location` is later in the same partition of the same topic."""
    return location[:2] == other[:2] and location.offset > other.offset


def winners_to_append_again(
    finished: Iterable[Passed], stored: Mapping[str, IndexedImage]
) -> list[IndexedImage]:
    """Winners that a lower event lies behind, each once: compaction would drop them.

    Compaction keeps the last record of a key, not the highest version. The stored winner is
    appended to its own topic again before the lower event's offset is committed. Across topics
    nothing is needed: readers merge the two by version. A tie's loser counts as lower, so that the
    compacted topic, too, ends in the one winner of a tie. A null is written only for a tombstone
    that has expired; behind anything else it must not be the last word either.
    """
    again: dict[str, IndexedImage] = {}
    for passed in finished:
        winner = stored.get(passed.image_id)
        if winner is None or not _loses(passed, winner):
            continue
        if lies_after(passed.location, winner.winner):
            again[passed.image_id] = winner
    return list(again.values())


def winners_that_moved(
    finished: Iterable[Passed], stored: Mapping[str, IndexedImage]
) -> dict[str, WinnerLocation]:
    """Where winners lie now, because a later copy of the same event has been read."""
    moved: dict[str, WinnerLocation] = {}
    for passed in finished:
        winner = stored.get(passed.image_id)
        if winner is None or passed.fence is None or winner.fence[:2] != passed.fence[:2]:
            continue
        if lies_after(passed.location, moved.get(passed.image_id, winner.winner)):
            moved[passed.image_id] = passed.location
    return moved


def _loses(passed: Passed, winner: IndexedImage) -> bool:
    if passed.fence is None:
        return not isinstance(winner.state, ImageDeleted)
    return passed.fence[:2] < winner.fence[:2]


def event_of(image: IndexedImage) -> Event[ImageState]:
    """The winning event as it was: the same id, so the same tie, and the same whole state."""
    return Event[ImageState].of(
        image.state,
        event_id=image.event_id,
        source=image.event_source,
        time=image.occurred,
    )
