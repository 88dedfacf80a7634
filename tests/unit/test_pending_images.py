"""What an API remembers of what it published, and when it forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.object_store.catalogue import Catalogue, Decisions
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.engine.vector_index.visible import VisibleIndex
from sightline.producers.images.moderation import ImageModeration
from sightline.schemas.images import ImageDeleted, ImageState, ImageUploaded, ObjectReference
from sightline.search_api.images import pending as bounds
from sightline.search_api.images import status
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.pending import Pending, PendingImages
from sightline.search_api.images.status import ImageStatus
from sightline.search_api.threads.pools import ApiThreads
from tests.indexed_images import SPEC, image
from tests.waiting import eventually
from tests.worker_parts import MemoryLog


@pytest.fixture
def clock() -> ManualClock:
    """The time of the process."""
    return ManualClock()


@pytest.fixture
def images(clock: ManualClock) -> PendingImages:
    """Nothing is pending yet."""
    return PendingImages(clock)


NUMBERS: Iterator[int] = count()


def pending(image_id: str, clock: ManualClock, *, version: int = 1, tags: int = 0) -> Pending:
    """An upload that was published just now."""
    state = ImageUploaded(
        image_id=image_id,
        version=version,
        object=ObjectReference(bucket="things", key="k", size_bytes=1),
        tags=tuple(f"{n:064d}" for n in range(tags)),
        attributes={"n": [1, None, {"a": "é"}]},
    )
    return Pending(state=state, event_id=f"e{next(NUMBERS)}", published=clock.now())


def known(images: PendingImages) -> set[str]:
    """Ids of what is remembered."""
    return {image_id for chunk in images.chunks(2) for image_id in chunk}


def test_what_is_remembered_is_what_was_published(
    images: PendingImages, clock: ManualClock
) -> None:
    """Every field of the state, and its kind, whatever the attributes are."""
    upload = pending("a", clock, tags=3)
    gone: ImageState = ImageDeleted(image_id="b", version=2, owner_id="me")
    delete = replace(upload, state=gone)
    images.add(upload)
    images.add(delete)
    assert images.newer_than("a", None) == upload
    assert images.newer_than("b", None) == delete


def test_a_lower_version_does_not_replace_a_higher(
    images: PendingImages, clock: ManualClock
) -> None:
    """Of racing writes the later one may answer first."""
    newer = pending("a", clock, version=2)
    images.add(newer)
    images.add(pending("a", clock, version=1))
    assert images.newer_than("a", None) == newer


def test_what_is_a_day_old_is_forgotten(images: PendingImages, clock: ManualClock) -> None:
    """A dead letter never arrives, and nobody may ever ask for it."""
    images.add(pending("old", clock))
    clock.advance(bounds.MAX_AGE.total_seconds() - 1)
    images.add(pending("new", clock))
    assert known(images) == {"old", "new"}
    clock.advance(2)
    images.add(pending("newest", clock))
    assert known(images) == {"new", "newest"}


def test_the_oldest_go_when_there_are_too_many_bytes(
    images: PendingImages, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large states count as what they are, and what is replaced counts once."""
    monkeypatch.setattr(bounds, "MAX_BYTES", 15_500)
    for _ in range(20):
        images.add(pending("again", clock, tags=60))
    images.add(pending("small", clock))
    assert known(images) == {"again", "small"}
    for number in range(3):
        images.add(pending(f"large{number}", clock, tags=60))
    assert known(images) == {"small", "large0", "large1", "large2"}


def test_the_oldest_go_when_there_are_too_many(
    images: PendingImages, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Published anew counts as young."""
    monkeypatch.setattr(bounds, "MAX_PENDING", 2)
    for image_id in ("a", "b", "a", "c"):
        images.add(pending(image_id, clock))
    assert known(images) == {"a", "c"}


def test_what_has_arrived_is_forgotten_though_nobody_asks(
    images: PendingImages, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks, from the index; what has not arrived, or in a lower version, stays."""
    monkeypatch.setattr(status, "FORGET_EVERY_S", 0.001)
    monkeypatch.setattr(status, "CHUNK", 2)
    index = MemoryVectorIndex(SPEC)
    for image_id in ("a", "b", "c", "d"):
        images.add(pending(image_id, clock, version=5))
    index.apply([image("a", version=6), image("b", version=9), image("c", version=4)])
    threads = ApiThreads.made(searches=1, decoding=1, embedding=1)
    catalogue = Catalogue(MemoryObjectStore(), "things")
    visible = VisibleIndex(index)
    moderation = ImageModeration(
        Decisions(MemoryObjectStore(), "things"), MemoryLog(clock), source="/test", clock=clock
    )
    moderating = Moderating(moderation, visible, clock=clock, threads=threads)
    looking = ImageStatus(visible, images, catalogue, clock, threads=threads, moderating=moderating)

    async def main() -> None:
        task = asyncio.create_task(looking.forget_arrived())
        await asyncio.to_thread(eventually, lambda: known(images) == {"c", "d"})
        task.cancel()

    asyncio.run(main())
    threads.close()
