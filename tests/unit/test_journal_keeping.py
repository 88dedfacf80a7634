"""What a crash kept from log or index goes out again at the start of the embedded stack."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Part, PartUnavailable, TooLarge
from sightline.engine.event_log.embedded.journal import Journal
from sightline.engine.event_log.embedded.journaled_producer import JournaledEventProducer
from sightline.engine.object_store.catalogue import Catalogue, Decisions
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.records import IndexedDecision, Message, ProducerRecord, WinnerLocation
from sightline.infra.processes.journal_keeping import keep_journal, unapplied
from sightline.producers.images.moderation import ImageModeration, OperatorVerdict
from sightline.producers.images.unpublished import Unpublished
from sightline.schemas.fields import Moderation
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES, IMAGES_MODERATION
from tests.catalogued_parts import Log, authority
from tests.worker_parts import MemoryIndex

BUCKET = "sightline"
BLOCKED = OperatorVerdict(moderation=Moderation.BLOCKED)


class Order(Log):
    """A log that tells in what order it was appended to, over all topics."""

    refused = ""
    """The image whose events it finds too large."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.order: list[tuple[str, str]] = []

    def append(self, record: ProducerRecord) -> Future[Message]:
        """See `EventProducer.append`."""
        if record.key == self.refused:
            raise TooLarge(f"the event of {record.key}")
        sent = super().append(record)
        if sent.exception() is None:
            self.order.append((record.topic, record.key))
        return sent


class OneRound(threading.Event):
    """Is set once somebody waits for it: a process that ends as soon as it has started."""

    def wait(self, timeout: float | None = None) -> bool:
        """See `threading.Event.wait`."""
        del timeout
        self.set()
        return True


class Stack:
    """Journal, catalogues and log of an embedded stack; its clock stands still."""

    def __init__(self, folder: Path) -> None:
        clock = ManualClock(datetime.now().astimezone())
        self.log = Order(clock)
        self.journal = Journal(folder / "journal.sqlite")
        self.producer = JournaledEventProducer(self.log, self.journal, clock=clock)
        store = DirectoryObjectStore(folder / "objects")
        store.ensure_bucket(BUCKET)
        catalogue, decisions = Catalogue(store, BUCKET), Decisions(store, BUCKET)
        self.images = authority(catalogue, (store, BUCKET), self.log)
        self.moderation = ImageModeration(decisions, self.log, source="/test", clock=clock)
        self.kept = [
            Unpublished(decisions, self.moderation, store, BUCKET, clock=clock, every_s=0),
            Unpublished(catalogue, self.images, store, BUCKET, clock=clock, every_s=0),
        ]

    def crash(self, image_id: str) -> None:
        """An image and a decision about it are kept, and neither is in the log."""
        self.log.broker.down = True
        with pytest.raises(PartUnavailable):
            self.images.put(image_id, b"1")
        with pytest.raises(PartUnavailable):
            self.moderation.decide(image_id, BLOCKED)
        self.log.broker.down = False

    def start(self, *indexes: MemoryIndex) -> list[tuple[str, str]]:
        """What a start appends, in order; none: for one index, which is empty."""
        before = len(self.log.order)
        held = nullcontext([*indexes] or [MemoryIndex()])
        keep_journal(self.journal, lambda: held, self.producer, self.kept, OneRound())
        self.producer.close()
        return self.log.order[before:]


def test_what_is_kept_and_was_never_published_goes_out_at_once(tmp_path: Path) -> None:
    """However young: its writer ended with the process. What hides comes first."""
    stack = Stack(tmp_path)
    stack.crash("cat")
    assert stack.start() == [(IMAGES_MODERATION.name, "cat"), (IMAGES.name, "cat")]


def test_an_entry_that_the_log_refuses_ends_no_start(tmp_path: Path) -> None:
    """It is told, and the others go out."""
    stack = Stack(tmp_path)
    for image_id in ("cat", "dog"):
        stack.crash(image_id)
    stack.log.refused = "cat"
    assert stack.start() == [(IMAGES_MODERATION.name, "dog"), (IMAGES.name, "dog")]


def test_what_the_index_lacks_of_the_journal_goes_out_again(tmp_path: Path) -> None:
    """Decisions before images, whatever came first."""
    stack = Stack(tmp_path)
    stack.images.put("cat", b"1")
    stack.moderation.decide("dog", BLOCKED)
    for topic, image_id in ((IMAGES.name, "cat"), (IMAGES_MODERATION.name, "dog")):
        event = stack.log.records[topic][0].value
        stack.producer.append(ProducerRecord(topic, image_id, event)).result()
    assert stack.start() == [(IMAGES_MODERATION.name, "dog"), (IMAGES.name, "cat")]


def test_what_any_generation_lacks_goes_out_once(tmp_path: Path) -> None:
    """One has the decision already, two do not; where all have it nothing goes out."""
    stack = Stack(tmp_path)
    stack.moderation.decide("dog", BLOCKED)
    (message,) = stack.log.records[IMAGES_MODERATION.name]
    stack.producer.append(ProducerRecord(message.topic, "dog", message.value)).result()
    full = MemoryIndex()
    full.moderate(
        [
            IndexedDecision.of(
                decode(message.value or b""),
                appended=message.timestamp,
                winner=WinnerLocation(message.topic, 0, 0),
            )
        ]
    )
    lacking = unapplied(stack.journal, [full, MemoryIndex(), MemoryIndex()])
    assert [record.image_id for record in lacking] == ["dog"]
    assert stack.start(full, full) == []


def test_a_journal_that_cannot_be_compacted_ends_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and tried again."""

    def full(_: Journal) -> int:
        raise PartUnavailable(Part.BROKER, "compacting the journal: the disk is full")

    stack = Stack(tmp_path)
    stack.crash("cat")
    monkeypatch.setattr(Journal, "compact", full)
    assert stack.start() == [(IMAGES_MODERATION.name, "cat"), (IMAGES.name, "cat")]
    assert "the journal is not compacted: " in caplog.text
