"""What the log tells of one search: found by keys and times, without reading all the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sightline.engine.errors import NotFound
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.event_log.partitions import partition_of
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.search_ids import IssuedSearch, SearchIds
from sightline.infra.reporting.trace_hops import PLACES, UPLOAD, hops, in_order, unknown
from sightline.schemas.documents.examples import example
from sightline.schemas.images import ImageUploaded
from sightline.schemas.labels import RetractionCause, TripleMined, TripleRetracted
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import (
    IMAGES_BACKFILL,
    INTERACTIONS,
    SEARCHES_CLOSED,
    TRAINING_TRIPLES,
)
from sightline.stream_workers.labels.explain.evidence import SearchEvidence, gather_evidence
from sightline.stream_workers.labels.rules import LabelRules
from tests.label_rows import closed, encoded, graded, mined, search, triple_id

IDS = SearchIds(b"of thirty-two bytes, for tests ..")
RULES = LabelRules()
SEARCHES = 60
PARTITIONS = 3


class Log:
    """Searches of many people by many images, of now: impression, closing, triple, retraction."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.read_count = 0
        broker = MemoryBroker(partitions=PARTITIONS)
        self.log = MemoryEventLog(broker)
        self._producer = MemoryEventProducer(broker)
        self.search_ids = [self._search(number) for number in range(SEARCHES)]

    def _search(self, number: int) -> str:
        anchor_id, actor_id = f"a{number % 10}", f"u{number % 12}"
        issued = IssuedSearch(
            issued_at=self.now, actor_id=actor_id, anchor_id=anchor_id, variant="default"
        )
        common: dict[str, Any] = {
            "search_id": IDS.issue(issued) if number % 2 else f"imported-{number}",
            "anchor_id": anchor_id,
            "actor_id": actor_id,
            "issued_at": self.now,
        }
        shown = example(ResultsShown.TYPE).data
        assert isinstance(shown, ResultsShown)
        epoch = RULES.epoch_of(round(self.now.timestamp() * 1_000))
        page = search("", graded("p1", 1), graded(f"p{number}", 2, grade=3, clicks=1))
        gone = TripleRetracted(
            triple_id=triple_id(number),
            anchor_id=anchor_id,
            cause=RetractionCause.IMAGE_DELETED,
            cause_event_id="e",
        )
        self._tell(INTERACTIONS.name, actor_id, shown.model_copy(update=common))
        at = partition_of(anchor_id, PARTITIONS)
        searches = closed(0, epoch, page.model_copy(update=common))
        self._tell(SEARCHES_CLOSED.name, "0-1", searches, partition=at)
        self._tell(TRAINING_TRIPLES.name, anchor_id, mined(**common), name=triple_id(number))
        self._tell(TRAINING_TRIPLES.name, anchor_id, gone)
        return str(common["search_id"])

    def _tell(
        self, topic: str, key: str, data: Any, *, name: str = "", partition: int | None = None
    ) -> None:
        value = encoded(data, name or f"e{key}", self.now)
        self._producer.append(ProducerRecord(topic, key, value, partition=partition))

    def tell(self, topic: str, key: str, value: bytes) -> None:
        """Append one more."""
        self._producer.append(ProducerRecord(topic, key, value)).result(0)

    def whole(self, topics: Sequence[str], **_: Any) -> Iterable[Message]:
        """All of the topics, whatever is asked for."""
        return self.log.read(topics)

    def near(self, topics: Sequence[str], **bounds: Any) -> Iterable[Message]:
        """As they are read."""
        for message in self.log.read(topics, **bounds):
            self.read_count += 1
            yield message


@pytest.fixture
def log() -> Log:
    """A log of its own."""
    return Log()


def told_of(found: SearchEvidence) -> tuple[Any, ...]:
    """Evidence to compare."""
    return (found.shown, found.closed, found.epoch, found.clicked, found.mined, found.retracted)


def test_a_search_is_found_where_its_id_says(log: Log) -> None:
    """The same as by reading everything, of a part of the records."""
    for search_id in log.search_ids[1:6:2]:
        log.read_count = 0
        found = gather_evidence(log.near, search_id, RULES, told=IDS.opened(search_id))
        assert told_of(found) == told_of(gather_evidence(log.whole, search_id, RULES))
        assert found.closed is not None
        assert len(found.mined) == len(found.retracted) == 1
        assert len(found.clicked) == SEARCHES // 10
        assert log.read_count < 4 * SEARCHES * 2 / 3


def test_a_triple_says_where_its_search_is(log: Log) -> None:
    """Also one whose id is a site's own and tells nothing; so does its impression."""
    search_id = log.search_ids[2]
    everything = told_of(gather_evidence(log.whole, search_id, RULES))
    [triple] = gather_evidence(log.whole, search_id, RULES).mined.values()
    assert isinstance(triple, TripleMined)
    assert told_of(gather_evidence(log.near, search_id, RULES, told=triple)) == everything
    assert log.read_count < 4 * SEARCHES * 2 / 3
    assert told_of(gather_evidence(log.near, search_id, RULES)) == everything
    assert told_of(gather_evidence(log.near, "nobody's", RULES)) == told_of(SearchEvidence())


def test_an_earlier_log_is_not_read(log: Log) -> None:
    """What was appended an hour before the search cannot be about it."""
    issued = log.now + timedelta(days=1)
    later = IssuedSearch(issued_at=issued, actor_id="u1", anchor_id="a1", variant="default")
    assert gather_evidence(log.near, IDS.issue(later), RULES, told=later).closed is None
    assert log.read_count == 0


@pytest.mark.parametrize("number", [1, 2])
def test_a_trace_finds_a_backfilled_image(log: Log, number: int) -> None:
    """Its upload is in the other topic; where no topic has it, that is said."""
    search_id, anchor_id = log.search_ids[number], f"a{number}"
    issued = IDS.opened(search_id)
    before = hops(log.log, search_id, issued=issued)
    assert [hop.name for hop in before if hop.name == UPLOAD] == []
    assert "unknown" in (unknown(before) or "")
    upload = example(ImageUploaded.TYPE).data.model_copy(update={"image_id": anchor_id})
    log.tell(IMAGES_BACKFILL.name, anchor_id, encoded(upload, "up"))
    after = hops(log.log, search_id, issued=issued, since=log.now - timedelta(hours=1))
    assert {hop.name for hop in after} - {hop.name for hop in before} == {PLACES[0], UPLOAD}
    assert unknown(after) is None


def test_a_trace_of_nothing_says_so(log: Log) -> None:
    """A search that the log does not know."""
    with pytest.raises(NotFound, match="knows no search"):
        hops(log.log, "nobody's")


def test_hops_of_one_millisecond_are_in_the_order_of_the_loop() -> None:
    """A click is received, then in the log, whose time has no microseconds."""
    at = datetime(2026, 3, 1, 12, 0, 0, 7_000, tzinfo=UTC)
    found = {
        "click in the log": at,
        "click received": at.replace(microsecond=7_900),
        "search answered": at.replace(microsecond=6_999),
        "epoch closed": at + timedelta(seconds=1),
    }
    assert [hop.name for hop in in_order(found)] == [
        "search answered",
        "click received",
        "click in the log",
        "epoch closed",
    ]
