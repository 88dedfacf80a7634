"""The embedded producer: journaled before acknowledged, refused when consumers are behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.errors import Overloaded, Part, PartUnavailable, TooLarge
from sightline.engine.event_log.embedded.bounded_producer import BoundedEventProducer
from sightline.engine.event_log.embedded.journal import Journal
from sightline.engine.event_log.embedded.journaled_producer import JournaledEventProducer
from sightline.engine.event_log.partitions import partition_of
from sightline.engine.records import ProducerRecord, TopicPartition
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageDeleted, ImageUploaded, ObjectReference
from sightline.schemas.topics import IMAGES, IMAGES_INDEXED
from tests.patience import patient
from tests.waiting import eventually
from tests.worker_parts import MemoryLog

CLOCK = SystemClock()
IMAGE = IMAGES.name


def event(image_id: str, version: int = 1) -> bytes:
    """An upload, encoded."""
    state = ImageUploaded(
        image_id=image_id,
        version=version,
        object=ObjectReference(bucket="things", key="k", size_bytes=1),
    )
    return (
        Event[ImageUploaded]
        .of(state, event_id=f"{image_id}-{version}", source="/test", time=CLOCK.now())
        .encode()
    )


def deletion(image_id: str, version: int) -> bytes:
    """A delete, encoded."""
    gone = ImageDeleted(image_id=image_id, version=version)
    return Event[ImageDeleted].of(gone, event_id="gone", source="/test", time=CLOCK.now()).encode()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    journal = Journal(tmp_path / "j.sqlite")
    yield journal
    journal.close()


def test_an_image_event_is_journaled_before_it_is_acknowledged(journal: Journal) -> None:
    """The journal has it while the broker has yet to answer; the answer ends the future."""
    log = MemoryLog(CLOCK)
    log.answer = Future()
    producer = JournaledEventProducer(log, journal, clock=CLOCK)
    future = producer.append(ProducerRecord(IMAGE, "a", event("a"), headers=[("h", b"1")]))
    eventually(lambda: log.records[IMAGE])
    assert [(w.image_id, w.headers) for w in journal.winners()] == [("a", (("h", b"1"),))]
    assert not future.done()
    log.answer.set_result(log.records[IMAGE][0])
    assert [future.result(patient(5))] == log.records[IMAGE]
    producer.close()


def test_a_broken_journal_acknowledges_nothing(journal: Journal) -> None:
    """What could not be journaled is neither appended nor acknowledged."""
    log = MemoryLog(CLOCK)
    producer = JournaledEventProducer(log, journal, clock=CLOCK)
    journal.close()
    with pytest.raises(PartUnavailable):
        producer.append(ProducerRecord(IMAGE, "a", event("a"))).result(patient(5))
    assert not log.records[IMAGE]
    producer.close()


def test_a_broken_log_is_told(journal: Journal) -> None:
    """An event that the broker refuses ends as its error; the journal brings it at next start."""
    log = MemoryLog(CLOCK)
    log.refusals = [PartUnavailable(Part.BROKER, "down")]
    producer = JournaledEventProducer(log, journal, clock=CLOCK)
    with pytest.raises(PartUnavailable):
        producer.append(ProducerRecord(IMAGE, "a", event("a"))).result(patient(5))
    assert journal.count() == 1
    producer.close()


def test_order_is_kept_and_groups_share_a_sync(journal: Journal) -> None:
    """Hundreds of events at once arrive in the order of their appends, each acknowledged."""
    log = MemoryLog(CLOCK)
    producer = JournaledEventProducer(log, journal, clock=CLOCK)
    futures = [
        producer.append(ProducerRecord(IMAGE, "a", event("a", version))) for version in range(300)
    ]
    producer.flush(patient(30))
    assert [future.result(0).offset for future in futures] == list(range(300))
    assert [w.version for w in journal.winners()] == [299]
    producer.close()
    with pytest.raises(PartUnavailable):
        producer.append(ProducerRecord(IMAGE, "a", event("a")))


def test_only_image_events_are_journaled(journal: Journal) -> None:
    """Other topics and what is no event pass through; a null makes it forget what is deleted."""
    log = MemoryLog(CLOCK)
    producer = JournaledEventProducer(log, journal, clock=CLOCK)
    producer.append(ProducerRecord(IMAGES_INDEXED.name, "a", b"1")).result(patient(5))
    producer.append(ProducerRecord(IMAGE, "a", b"not json")).result(patient(5))
    assert journal.count() == 0
    producer.append(ProducerRecord(IMAGE, "a", event("a"))).result(patient(5))
    producer.append(ProducerRecord(IMAGE, "a", None)).result(patient(5))
    assert journal.count() == 1
    producer.append(ProducerRecord(IMAGE, "a", deletion("a", 2))).result(patient(5))
    producer.append(ProducerRecord(IMAGE, "a", None)).result(patient(5))
    assert journal.count() == 0
    assert [m.value for m in log.records[IMAGE]][::2] == [b"not json", None, None]
    with pytest.raises(TooLarge):
        producer.append(ProducerRecord(IMAGE, "a", b"x" * 2_000_000))
    producer.close()


class Commits:
    """The committed offsets, as a test sets them."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, int] = {}
        self.asked = threading.Event()

    def __call__(
        self, group: str, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """See `Committed`."""
        assert group == "workers"
        self.asked.set()
        return {at: self.offsets[at] for at in partitions if at in self.offsets}


def workers(topic: str) -> list[str]:
    """Who must keep up: one group, with one topic."""
    return ["workers"] if topic == IMAGE else []


def takes(producer: BoundedEventProducer, key: str = "a") -> bool:
    """Append one event that counts for 1,128 bytes; whether there was room for it."""
    try:
        producer.append(ProducerRecord(IMAGE, key, b"x" * 1_000))
    except Overloaded:
        return False
    return True


def test_appending_is_refused_until_consumers_catch_up() -> None:
    """At the bound it is `Overloaded`, never a silent loss; commits make room again."""
    commits = Commits()
    producer = BoundedEventProducer(MemoryLog(CLOCK), workers, commits, max_bytes=10_000)
    assert [takes(producer) for _ in range(9)] == [True] * 8 + [False]
    commits.offsets[TopicPartition(IMAGE, 0)] = 4
    eventually(lambda: takes(producer))
    assert [takes(producer) for _ in range(4)] == [True] * 3 + [False]
    producer.append(ProducerRecord(IMAGES_INDEXED.name, "a", b"x" * 100_000))
    producer.close()


def test_the_slowest_of_several_groups_decides_until_it_leaves() -> None:
    """Each generation of the index reads a topic at its own pace; a dropped one holds up nobody."""
    first = TopicPartition(IMAGE, 0)
    offsets = {"g-1": {first: 3}, "g-2": dict[TopicPartition, int]()}
    groups = ["g-1", "g-2"]

    def committed(group: str, _: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return offsets[group]

    producer = BoundedEventProducer(
        MemoryLog(CLOCK), lambda _: list(groups), committed, max_bytes=4 * 1_128
    )
    assert [takes(producer) for _ in range(5)] == [True] * 4 + [False]
    offsets["g-2"][first] = 1
    eventually(lambda: takes(producer))
    assert not takes(producer)
    groups.remove("g-2")
    eventually(lambda: takes(producer))
    assert [takes(producer) for _ in range(2)] == [True, False]
    producer.close()


def test_each_partition_has_its_bound() -> None:
    """A key whose partition is full is refused, one of another is not."""
    producer = BoundedEventProducer(
        MemoryLog(CLOCK), workers, Commits(), partitions=4, max_bytes=2_000
    )
    keys = {partition_of(key, 4): key for key in map(str, range(100))}
    for key in keys.values():
        assert [takes(producer, key) for _ in range(2)] == [True, False]
    producer.close()


def test_a_failed_append_makes_room_again() -> None:
    """What the broker did not take does not count, nor does one message alone that is too big."""
    log = MemoryLog(CLOCK)
    log.answer = Future()
    producer = BoundedEventProducer(log, workers, Commits(), max_bytes=1_000)
    future = producer.append(ProducerRecord(IMAGE, "a", b"x" * 5_000))
    log.answer.set_exception(PartUnavailable(Part.BROKER, "down"))
    assert future.exception() is not None
    log.answer, log.refusals = Future(), [PartUnavailable(Part.BROKER, "down")]
    with pytest.raises(PartUnavailable):
        producer.append(ProducerRecord(IMAGE, "a", b"x"))
    assert [takes(producer), takes(producer)] == [True, False]
    producer.close()
