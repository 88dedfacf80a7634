"""The in-process broker takes events from whoever finds its port; the worker only our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.event_log.embedded.broker import InProcessBroker
from sightline.engine.event_log.embedded.journal import Journal
from sightline.engine.event_log.embedded.journaled_producer import JournaledEventProducer
from sightline.engine.event_log.embedded.sealed import (
    HEADER,
    SEALED_TOPICS,
    Seal,
    SealedConsumer,
    SealingProducer,
)
from sightline.engine.event_log.kafka import KafkaEventConsumer, KafkaEventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import KafkaSettings
from sightline.schemas.documents.examples import example
from sightline.schemas.topics import IMAGES, INTERACTIONS, TOPICS
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
        consumer = SealedConsumer(KafkaEventConsumer(kafka, group="worker"), seal)
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
