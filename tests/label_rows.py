"""Triples, retractions and closed searches as messages, for tests of what comes after the miner."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sightline.engine.records import Message
from sightline.schemas.documents.examples import example
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.labels import (
    EpochClosed,
    GradedImage,
    RetractionCause,
    SearchClosed,
    SearchesClosed,
    TripleMined,
    TripleRetracted,
    Verdict,
)
from sightline.schemas.search_metrics import SearchMetricsCounted
from sightline.schemas.topics import SEARCHES_CLOSED, TRAINING_TRIPLES

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH_MS = 600_000


def at(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def encoded(data: EventData, event_id: str, time: datetime = NOON) -> bytes:
    """An event's bytes."""
    return Event[Any].of(data, event_id=event_id, source="urn:test", time=time).encode()


def message(
    value: bytes | None,
    offset: int,
    *,
    partition: int = 0,
    topic: str = TRAINING_TRIPLES.name,
    timestamp: datetime = NOON,
) -> Message:
    """A record in the log."""
    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        key=b"k",
        value=value,
        timestamp=timestamp,
    )


def mined(**changes: Any) -> TripleMined:
    """The example triple with other fields."""
    data = example(TripleMined.TYPE).data
    assert isinstance(data, TripleMined)
    return data.model_copy(update=changes)


def triple_id(number: int) -> str:
    """64 hex digits."""
    return f"{number:064x}"


def triple(number: int, **changes: Any) -> bytes:
    """A mined triple's bytes."""
    return encoded(mined(**changes), triple_id(number))


def retracted(number: int, cause: str = "cause-1") -> bytes:
    """A retraction's bytes."""
    data = TripleRetracted(
        triple_id=triple_id(number),
        anchor_id="anchor",
        cause=RetractionCause.USER_ERASED,
        cause_event_id=cause,
    )
    return encoded(data, f"r{number}")


def records(values: Iterable[bytes | None], *, start: int = 0, partition: int = 0) -> list[Message]:
    """Consecutive records of one partition."""
    return [
        message(value, offset, partition=partition) for offset, value in enumerate(values, start)
    ]


def graded(image_id: str, position: int, **changes: Any) -> GradedImage:
    """A shown image that nothing was done with."""
    facts = {"score": 1 - position / 100, "perceptual_hash": f"{position:064x}", "grade": 0}
    return GradedImage(image_id=image_id, position=position, **(facts | changes))


def search(search_id: str, *shown: GradedImage, **changes: Any) -> SearchClosed:
    """A closed search by a person."""
    data = example(SearchesClosed.TYPE).data
    assert isinstance(data, SearchesClosed)
    update: dict[str, Any] = {"search_id": search_id, "shown": shown, "verdict": Verdict.PERSON}
    return data.searches[0].model_copy(update=update | changes)


def closed(source: int, epoch: int, *searches: SearchClosed) -> SearchesClosed:
    """A record of closed searches."""
    return SearchesClosed(source_partition=source, epoch=epoch, searches=searches)


def marker(source: int, epoch: int, first_epoch: int | None = None) -> EpochClosed:
    """A marker."""
    first = epoch if first_epoch is None else first_epoch
    return EpochClosed(source_partition=source, first_epoch=first, epoch=epoch)


def closed_message(data: SearchesClosed | EpochClosed, offset: int, partition: int) -> Message:
    """A record of the closed topic."""
    value = encoded(data, f"c-{partition}-{offset}")
    return message(value, offset, partition=partition, topic=SEARCHES_CLOSED.name)


def counted(day: int, **changes: Any) -> SearchMetricsCounted:
    """Metrics of an epoch of a day of March 2026 (the 1st is a Sunday)."""
    facts: dict[str, Any] = {
        "variant": "default",
        "model_digest": "m1",
        "epoch": day,
        "source_topic": "interactions.v1",
        "source_partition": 0,
        "epoch_start": datetime(2026, 3, day, 23, 50, tzinfo=UTC),
        "searches": 4,
        "bot_searches": 1,
        "empty_searches": 1,
        "images_shown": 20,
        "images_clicked": 5,
        "clicks": 6,
        "likes": 0,
        "shares": 0,
        "conversions": 2,
        "searches_converted": 1,
        "dwell_ms": 30_000,
        "dwells": 3,
        "actors": ("0" * 16, "1" * 16),
    }
    return SearchMetricsCounted(**(facts | changes))
