"""Waiting for what became of uploads, the worker's answers written by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.records import ProducerRecord
from sightline.producers.images.ids import new_id
from sightline.producers.images.outcomes import EndedVersion, await_outcomes
from sightline.producers.images.published import Published
from sightline.schemas.envelope import Event
from sightline.schemas.indexed import ImageIndexed, ImageRejected, Lane, Outcome, StageTimes
from sightline.schemas.topics import IMAGES, IMAGES_INDEXED

LONG_S = 60.0
DAY = timedelta(days=1)


class Answers:
    """The topic of outcomes, written as the index worker does."""

    def __init__(self) -> None:
        self._at = datetime.now(UTC)
        broker = MemoryBroker([IMAGES_INDEXED], 3, clock=self)
        self.log = MemoryEventLog(broker)
        self._producer = MemoryEventProducer(broker)

    def now(self) -> datetime:
        """The time of the answer that is being written: the broker stamps it."""
        return self._at

    def monotonic(self) -> float:
        """See `Clock`; nobody asks."""
        return 0.0

    def say(
        self,
        published: Published,
        outcome: Outcome = Outcome.INDEXED,
        *,
        at: datetime | None = None,
        reason: str | None = None,
    ) -> None:
        """Answer one version."""
        at = at or datetime.now(UTC)
        told: dict[str, Any] = {
            "image_id": published.image_id,
            "version": published.version,
            "event_id": published.event_id,
            "lane": Lane.LIVE,
            "times": StageTimes(
                occurred=published.appended,
                appended=published.appended,
                consumed=at,
                searchable=at,
            ),
            "generation": "g",
            "model_digest": "sha256:0",
        }
        data = (
            ImageIndexed(outcome=outcome, **told)
            if reason is None
            else ImageRejected(reason=reason, message="it is none", **told)
        )
        event: Event[Any] = Event.of(data, event_id=new_id(), source="/test", time=at)
        self._at = at
        self._producer.append(
            ProducerRecord(IMAGES_INDEXED.name, published.image_id, event.encode())
        ).result(0)

    def wait(self, *published: Published, timeout_s: float = LONG_S) -> list[EndedVersion]:
        """What `await_outcomes` tells."""
        return await_outcomes(self.log, published, timeout_s=timeout_s, clock=SystemClock())


@pytest.fixture
def answers() -> Answers:
    """A topic of this test's own."""
    return Answers()


def upload(image_id: str, version: int = 1, *, appended: datetime | None = None) -> Published:
    """An acknowledged upload."""
    return Published(
        event_id=new_id(),
        image_id=image_id,
        version=version,
        topic=IMAGES.name,
        partition=0,
        offset=0,
        appended=appended or datetime.now(UTC),
    )


def test_each_upload_has_its_end(answers: Answers) -> None:
    """Searchable, rejected with the reason, superseded: each told once, whatever is repeated."""
    cat, dog, old = upload("cat"), upload("dog"), upload("cat", 0)
    answers.say(upload("stranger"))
    answers.say(old, Outcome.SUPERSEDED)
    answers.say(cat)
    answers.say(cat)
    answers.say(dog, reason="corrupt")
    ended = {
        (end.published.image_id, end.published.version): end for end in answers.wait(cat, dog, old)
    }
    assert {key: end.outcome for key, end in ended.items()} == {
        ("cat", 0): Outcome.SUPERSEDED,
        ("cat", 1): Outcome.INDEXED,
        ("dog", 1): Outcome.REJECTED,
    }
    assert ended["dog", 1].reason == "corrupt: it is none"
    assert [ended[key].applied for key in sorted(ended)] == [True, True, False]


def test_an_answer_that_never_comes_ends_the_wait(answers: Answers) -> None:
    """What came is told; the rest is missing when the time is over."""
    cat, dog = upload("cat"), upload("dog")
    answers.say(cat)
    [end] = answers.wait(cat, dog, timeout_s=0.2)
    assert end.published == cat


def test_what_was_uploaded_before_was_answered_before(answers: Answers) -> None:
    """An upload that changed nothing is the one of yesterday, and so is its end."""
    yesterday = datetime.now(UTC) - DAY
    cat = upload("cat", appended=yesterday)
    answers.say(upload("cat", 0, appended=yesterday - DAY), at=yesterday - DAY)
    answers.say(cat, at=yesterday + timedelta(seconds=1))
    [end] = answers.wait(cat)
    assert end.freshness is not None
    assert timedelta(0) < end.freshness <= timedelta(seconds=1)


def test_an_answer_that_comes_while_waiting_is_seen(answers: Answers) -> None:
    """Nothing is there at first: what is appended from then on is not passed over."""
    cat, dog = upload("cat"), upload("dog")
    told: list[EndedVersion] = []
    answers.say(cat)

    def answer_the_other(end: EndedVersion) -> None:
        told.append(end)
        if end.published == cat:
            answers.say(dog, Outcome.HIDDEN)

    ended = await_outcomes(
        answers.log,
        [cat, dog],
        timeout_s=LONG_S,
        clock=SystemClock(),
        told=answer_the_other,
    )
    assert [end.outcome for end in ended] == [Outcome.INDEXED, Outcome.HIDDEN]
    assert told == ended


def test_nothing_to_wait_for_asks_nobody() -> None:
    """No upload, no question: no broker is needed."""
    broker = MemoryBroker([IMAGES_INDEXED])
    broker.down = True
    nobody = MemoryEventLog(broker)
    assert await_outcomes(nobody, [], timeout_s=0, clock=SystemClock()) == []
