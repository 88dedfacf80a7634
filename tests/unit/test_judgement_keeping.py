"""Embedded, people's grades outlive the broker: written down as they come, and told again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from sightline.engine.errors import Overloaded, Part
from sightline.engine.event_log.embedded.journal import JOURNAL_FILE, Journal
from sightline.engine.event_log.embedded.sealed import Seal, SealingProducer
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.label_data.judgements import judgements_of
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import Mode, Settings
from sightline.infra.commands import kept_messages
from sightline.infra.processes.judgement_keeping import keep_judgements
from sightline.schemas.interactions import UserErased
from sightline.schemas.topics import JUDGEMENTS
from tests.label_rows import at, encoded
from tests.running_loops import running
from tests.unit.test_training_pictures import judged
from tests.waiting import eventually

TOPIC = JUDGEMENTS.name


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    journal = Journal(tmp_path / JOURNAL_FILE)
    yield journal
    journal.close()


@contextmanager
def kept(
    journal: Journal, broker: MemoryBroker, seal: Seal | None = None, *, full: int = 0
) -> Iterator[None]:
    """Grades of a broker are kept while the block runs; its queue is `full` for some appends."""
    own, queue = seal or Seal(), MemoryEventProducer(broker)
    queue.refusals = [Overloaded(Part.BROKER, "queue full")] * full
    producer = SealingProducer(queue, own)
    with running(partial(keep_judgements, journal, MemoryEventLog(broker), producer, own)):
        yield


def told(broker: MemoryBroker) -> list[Message]:
    """What the topic has."""
    return list(MemoryEventLog(broker).read((TOPIC,)))


def test_grades_outlive_the_broker(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """With erasures; a second start waits for a full queue, repeats none; each is read once."""
    first, second = MemoryBroker(), MemoryBroker()
    said = {
        "e1": judged(5, "k~p-ann", 1),
        "e2": judged(3, "k~p-bob", 2),
        "e3": UserErased(user_pseudonym="p-ann", erased_at=at(5)),
    }
    seal = Seal()
    producer = SealingProducer(MemoryEventProducer(first), seal)
    for name, data in said.items():
        producer.append(ProducerRecord(TOPIC, data.subject, encoded(data, name)))
    producer.append(ProducerRecord(TOPIC, "x", b"nothing that can be read"))
    stranger = judged(1, "k~p-eve", 4)
    MemoryEventProducer(first).append(
        ProducerRecord(TOPIC, stranger.subject, encoded(stranger, "e4"))
    )
    with kept(journal, first, seal):
        eventually(lambda: journal.count() == 3)
    with kept(journal, second, full=2):
        eventually(lambda: len(told(second)) == 3)
    assert journal.count() == 3
    assert [j.grade for j in judgements_of(told(second))] == [3]
    keys = {message.key for message in told(second)}
    assert keys == {data.subject.encode() for data in said.values()}
    monkeypatch.setattr(kept_messages, "open_event_log", lambda _: MemoryEventLog(second))
    settings = Settings(mode=Mode.EMBEDDED, data_directory=journal._file.parent)
    assert [j.grade for j in kept_messages.read_judgements(settings)] == [3]
    monkeypatch.setattr(kept_messages, "open_event_log", lambda _: MemoryEventLog(MemoryBroker()))
    assert [j.grade for j in kept_messages.read_judgements(settings)] == [3]
