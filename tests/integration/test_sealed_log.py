"""The in-process broker takes events from whoever finds its port; the worker only our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.event_log.embedded.broker import InProcessBroker
from sightline.engine.event_log.embedded.journal import Journal
from sightline.engine.event_log.embedded.journaled_log import JournaledEventLog
from sightline.engine.event_log.embedded.journaled_producer import JournaledEventProducer
from sightline.engine.event_log.embedded.sealed import (
    HEADER,
    SEALED_TOPICS,
    Seal,
    SealedConsumer,
    SealingProducer,
)
from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.metrics import Metrics
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import KafkaSettings
from sightline.schemas.documents.examples import example
from sightline.schemas.topics import IMAGES, IMAGES_DLQ, INTERACTIONS, TOPICS
from sightline.stream_workers.delivery.dead_letters import Cause, DeadLetterDesk
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from tests.listening import Listener
from tests.patience import patient
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@contextmanager
def broker() -> Iterator[KafkaSettings]:
    """An in-process broker with our topics."""
    running = InProcessBroker(TOPICS, 1)
    try:
        yield KafkaSettings(bootstrap_servers=running.bootstrap_servers, partitions=1)
    finally:
        running.close()


def test_what_a_stranger_appends_about_images_is_passed_over(tmp_path: Path) -> None:
    """Without a seal, with another one, with one of another record; and none is journaled."""
    uploaded = example("sightline.image.uploaded.v1").encode()
    evil = uploaded.replace(b"lamp-4711", b"evil-0000")
    with broker() as kafka:
        seal, journal = Seal(), Journal(tmp_path / "journal.sqlite")
        bare = SealingProducer(KafkaEventProducer(kafka), seal)
        ours = JournaledEventProducer(bare, journal, clock=SystemClock())
        stranger = KafkaEventProducer(kafka)
        copied = seal.of(IMAGES.name, b"lamp-4711", uploaded)
        for forged in (
            (),
            [(HEADER, Seal().of(IMAGES.name, b"evil-0000", evil))],
            [(HEADER, copied)],
        ):
            stranger.append(ProducerRecord(IMAGES.name, "evil-0000", evil, headers=forged)).result(
                patient(60)
            )
        ours.append(
            ProducerRecord(IMAGES.name, "lamp-4711", uploaded, headers=[("traceparent", b"t")])
        ).result(patient(60))
        stranger.append(ProducerRecord(INTERACTIONS.name, "anybody", b"{}")).result(patient(60))
        consumer = SealedConsumer(kafka, group="worker", seal=seal)
        consumer.subscribe([IMAGES.name, INTERACTIONS.name], Listener())
        read: list[Message] = []

        def two() -> bool:
            read.extend(consumer.poll(10, 0.2))
            return len(read) >= 2

        eventually(two, timeout_s=60)
        assert {(m.topic, m.key, m.headers) for m in read} == {
            (IMAGES.name, b"lamp-4711", (("traceparent", b"t"),)),
            (INTERACTIONS.name, b"anybody", ()),
        }
        assert [record.image_id for record in journal.winners()] == ["lamp-4711"]
        consumer.close()
        stranger.close()
        ours.close()
        journal.close()


def letter_of(message: Message) -> ProducerRecord:
    """A dead letter of it, as the worker sends one."""
    limit = LetterLimit(LetterRate(limit=9, window_s=60.0, setting="s"))
    cause = Cause(stage="embed", error="Odd", reason="odd")
    return DeadLetterDesk(limit, Metrics()).letter(message, cause)


def test_commands_training_and_retraction_read_of_images_what_is_journaled(tmp_path: Path) -> None:
    """A stranger's delete takes no triple back, and no replay publishes it in our name.

    What is about people is read from the broker, and what it says of our own events, too.
    """
    uploaded = example("sightline.image.uploaded.v1").encode()
    evil = example("sightline.image.deleted.v1").encode()
    with broker() as kafka:
        journal = Journal(tmp_path / "journal.sqlite")
        bare = SealingProducer(KafkaEventProducer(kafka), Seal())
        ours = JournaledEventProducer(bare, journal, clock=SystemClock())
        stranger = KafkaEventProducer(kafka)
        sound = ours.append(ProducerRecord(IMAGES.name, "lamp-4711", uploaded)).result(patient(60))
        forged = stranger.append(ProducerRecord(IMAGES.name, "lamp-4711", evil)).result(patient(60))
        for record in (
            letter_of(sound),
            letter_of(forged),
            ProducerRecord(INTERACTIONS.name, "anybody", b"{}"),
        ):
            stranger.append(record).result(patient(60))
        log = JournaledEventLog(kafka, tmp_path / "journal.sqlite")
        every = [IMAGES.name, IMAGES_DLQ.name, INTERACTIONS.name]
        assert sorted((m.topic, m.value) for m in log.read(every)) == [
            (IMAGES_DLQ.name, uploaded),
            (IMAGES.name, uploaded),
            (INTERACTIONS.name, b"{}"),
        ]
        assert [m.value for m in log.read([IMAGES.name], key="lamp-4711")] == [uploaded]
        assert not list(log.read([IMAGES.name], since=SystemClock().now() + timedelta(minutes=1)))
        stranger.close()
        ours.close()
        journal.close()


@pytest.mark.parametrize("topic", sorted(SEALED_TOPICS))
def test_a_seal_is_of_one_record(topic: str) -> None:
    """Of its topic, key and value, a null one too."""
    seal = Seal()
    one = seal.of(topic, b"k", b"v")
    assert one == seal.of(topic, b"k", b"v")
    others = [
        seal.of(topic, b"kv", b""),
        seal.of(topic, b"k", None),
        seal.of(topic, b"k", b""),
        seal.of("other", b"k", b"v"),
        Seal().of(topic, b"k", b"v"),
    ]
    assert one not in others
    assert len(set(others)) == len(others)
