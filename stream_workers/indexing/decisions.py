"""The decisions of the index worker, pure: event and stored image in, what to do out.

What the rules leave open is decided in docs/adr/0010-index-worker.md.
"""

from __future__ import annotations

from enum import StrEnum

from sightline.engine.records import IndexedImage
from sightline.schemas.images import ImageDeleted
from sightline.schemas.indexed import Outcome
from sightline.stream_workers.indexing.task import ImageTask, Judged, PictureFacts, Rejection


class Next(StrEnum):
    """What an event needs, given what is stored."""

    NOTHING = "nothing"
    """The stored image is at or past it."""
    WRITE = "write"
    """Its final state can be written without its bytes."""
    BYTES = "bytes"
    """A verdict on its bytes is needed; what it hides must be hidden before they are read."""


def next_need(known: Judged, stored: IndexedImage | None) -> Next:
    """Return what the event needs, `stored` being what the index keeps of its image."""
    if stored is not None and stored.fence >= known.task.fence:
        return Next.NOTHING
    if isinstance(known.task.state, ImageDeleted) or known.verdict is not None:
        return Next.WRITE
    return Next.BYTES


def reuses_vector(known: Judged, stored: IndexedImage | None) -> bool:
    """Whether the stored vector was made from the bytes that the event promises.

    A generation has one model, so equal bytes mean an equal vector.
    """
    sha256 = known.sha256
    return stored is not None and sha256 is not None and stored.content_sha256 == sha256


def facts_of(stored: IndexedImage) -> PictureFacts | None:
    """Return what the index knows about a stored image's bytes; None: not all of it.

    `since` ends while its owner does not list it: who uploaded a picture in private and lists it
    later must not displace those who listed it meanwhile.
    """
    if (
        stored.vector is None
        or stored.content_sha256 is None
        or stored.perceptual_hash is None
        or stored.width is None
        or stored.height is None
    ):
        return None
    return PictureFacts(
        content_sha256=stored.content_sha256,
        perceptual_hash=stored.perceptual_hash,
        width=stored.width,
        height=stored.height,
        cluster=stored.cluster,
        since=(stored.since or stored.appended) if stored.listed_by_owner else None,
        vector=stored.vector,
        features=stored.features,
    )


def final_outcome(known: Judged) -> Outcome:
    """Return how the event ends if nothing higher is stored, once its verdict is known."""
    if isinstance(known.task.state, ImageDeleted):
        return Outcome.DELETED
    if isinstance(known.verdict, Rejection):
        return Outcome.REJECTED
    return Outcome.HIDDEN if known.task.hides else Outcome.INDEXED


class Standing(StrEnum):
    """How an event stands to what is stored after its write."""

    WON = "won"
    LOST = "lost"
    MISSING = "missing"
    """The stored image is below it: the write did not happen, or was purged."""


def standing(task: ImageTask, stored: IndexedImage | None) -> Standing:
    """Return how the event stands, `stored` being read after its write."""
    if stored is None or stored.fence < task.fence:
        return Standing.MISSING
    return Standing.WON if stored.fence == task.fence else Standing.LOST
