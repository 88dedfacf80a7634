"""Decisions on their way to the index, and answers that wait for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Catalogue, Decisions
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.records import IndexedDecision, IndexedImage, Sight
from sightline.engine.settings import DecodeSettings
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.engine.vector_index.visible import EVERYTHING, VisibleIndex
from sightline.producers.images.moderation import (
    Decided,
    DecisionPermit,
    ImageModeration,
    OperatorVerdict,
)
from sightline.schemas.fields import Moderation
from sightline.schemas.moderation import ImageModerated
from sightline.search_api.images.accepted import Accepted
from sightline.search_api.images.answers import AnswerWait, ImageAnswers
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.pending import Pending, PendingImages
from sightline.search_api.images.renditions import Renditions
from sightline.search_api.images.status import ImageStatus
from sightline.search_api.threads.pools import ApiThreads
from tests.indexed_images import SPEC, decision, image
from tests.patience import patient
from tests.worker_parts import MemoryLog

BLOCK = OperatorVerdict(moderation=Moderation.BLOCKED)
ALLOW = OperatorVerdict(moderation=Moderation.ALLOWED)


@pytest.fixture
def clock() -> ManualClock:
    """The time of the process."""
    return ManualClock()


@pytest.fixture
def threads() -> Iterator[ApiThreads]:
    """The pools of an API."""
    threads = ApiThreads.made(searches=1, decoding=1, embedding=1)
    yield threads
    threads.close()


class OvertakenModeration(ImageModeration):
    """The first decision is acknowledged late: only when another has been."""

    def decide(
        self, image_id: str, verdict: OperatorVerdict, *, permit: DecisionPermit | None = None
    ) -> Decided:
        """See `ImageModeration.decide`."""
        decided = super().decide(image_id, verdict, permit=permit)
        if decided.decision.version == 1:
            self.made.set()
            self.overtaken.wait(patient(60))
        return decided

    made: threading.Event
    overtaken: threading.Event


def test_an_older_decision_does_not_replace_a_newer(
    clock: ManualClock, threads: ApiThreads
) -> None:
    """Of two racing decisions the one that is told is the newer, in whatever order they return."""
    moderation = OvertakenModeration(
        Decisions(MemoryObjectStore("things"), "things"),
        MemoryLog(clock),
        source="/test",
        clock=clock,
    )
    moderation.made, moderation.overtaken = threading.Event(), threading.Event()
    visible = VisibleIndex(MemoryVectorIndex(SPEC))
    moderating = Moderating(moderation, visible, clock=clock, threads=threads)

    async def main() -> ImageModerated:
        first = asyncio.create_task(moderating.decide("cat", BLOCK))
        await asyncio.to_thread(moderation.made.wait, patient(60))
        second = await moderating.decide("cat", ALLOW)
        moderation.overtaken.set()
        await first
        assert second.version == 2
        return await moderating.newest("cat")

    assert asyncio.run(main()).moderation is Moderation.ALLOWED


class SlowIndex(MemoryVectorIndex):
    """Each look takes ten seconds of the clock, and finds a decision from the fifth on."""

    clock: ManualClock
    looks = 0

    def decisions(self, image_ids: Collection[str]) -> dict[str, IndexedDecision]:
        """See `VectorIndex.decisions`."""
        self.looks += 1
        self.clock.advance(10)
        return super().decisions(image_ids) if self.looks >= 5 else {}

    def get(
        self,
        image_ids: Collection[str],
        *,
        vectors: bool = False,
        features: bool = False,
        sight: Sight | None = None,
    ) -> dict[str, IndexedImage]:
        """See `VectorIndex.get`."""
        self.clock.advance(10)
        return super().get(image_ids, vectors=vectors, features=features, sight=sight)


def test_an_answer_waits_once_for_decision_and_version(
    clock: ManualClock, threads: ApiThreads
) -> None:
    """A minute at most, however much of it went by until the decision was there."""
    index, store = SlowIndex(SPEC), MemoryObjectStore("things")
    index.clock, visible = clock, VisibleIndex(index)
    made = decision("cat", version=1)
    index.moderate([made])
    moderation = ImageModeration(
        Decisions(store, "things"), MemoryLog(clock), source="/test", clock=clock
    )
    moderating = Moderating(moderation, visible, clock=clock, threads=threads)
    images = PendingImages(clock)
    upload = Pending(state=image("cat", version=1).state, event_id="e", published=clock.now())
    images.add(upload)
    catalogue = Catalogue(store, "things")
    status = ImageStatus(visible, images, catalogue, clock, threads=threads, moderating=moderating)
    renditions = Renditions(
        store,
        "things",
        DecodeSettings(),
        health=Health(clock),
        metrics=Metrics(),
        at_once=1,
        threads=threads.renditions,
    )
    answers = ImageAnswers(status, renditions, moderating, clock)
    written = Accepted("cat", 1, upload, made.decision)
    answer = asyncio.run(answers.written(written, EVERYTHING, AnswerWait(60)))
    assert answer.status_code == 202
    assert index.looks == 5
    assert clock.monotonic() <= 80
