"""Following a topic in memory: what comes while, and after, the broker is away."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from sightline.engine.event_log.following import follow_until
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog, MemoryFollower
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.schemas.topics import TRAINING_TRIPLES
from tests.patience import patient
from tests.waiting import eventually

TOPIC = TRAINING_TRIPLES.name


class Following:
    """A thread that follows a topic in memory."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.log = MemoryEventLog(broker)
        self.taken: list[bytes | None] = []
        self.asked = threading.Event()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        follow_until(self.stop, self._connect, self._take, who="a test")

    def _connect(self) -> MemoryFollower:
        self.asked.set()
        return self.log.follow(
            TOPIC, dict.fromkeys(range(self.log.partition_count(TOPIC)), 0), group="g"
        )

    def _take(self, messages: Sequence[Message]) -> None:
        self.taken += [message.value for message in messages]

    def end(self) -> None:
        """Ends in time, whatever it waits for."""
        self.stop.set()
        self.thread.join(patient(10))
        assert not self.thread.is_alive()


def test_a_broker_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """At the start and in the middle; nothing is lost, nothing comes twice."""
    broker = MemoryBroker([TRAINING_TRIPLES], 1)
    broker.down = True
    following = Following(broker)
    assert following.asked.wait(patient(10))
    broker.down = False
    producer = MemoryEventProducer(broker)
    producer.append(ProducerRecord(TOPIC, "k", b"1"))
    eventually(lambda: following.taken == [b"1"], timeout_s=20)
    caplog.clear()
    broker.down = True
    eventually(lambda: "does not answer" in caplog.text)
    broker.down = False
    producer.append(ProducerRecord(TOPIC, "k", b"2"))
    eventually(lambda: following.taken == [b"1", b"2"], timeout_s=20)
    following.end()


def test_it_ends_while_the_broker_is_away() -> None:
    """Told to stop, it waits no longer."""
    broker = MemoryBroker([TRAINING_TRIPLES], 1)
    broker.down = True
    following = Following(broker)
    assert following.asked.wait(patient(10))
    following.end()
    assert following.taken == []
