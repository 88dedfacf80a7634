"""What waits and what was dead-lettered, on a log in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sightline.engine.clock import ManualClock, SystemClock
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog, MemoryFollower
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.records import Message, PartitionLag, ProducerRecord, TopicPartition
from sightline.engine.settings import Settings
from sightline.infra.reporting.status import DeadLetterCount, hops_of, read_status
from sightline.schemas.dead_letters import DeadLetterFacts
from sightline.schemas.topics import BUCKET_NOTIFICATIONS, BUCKET_NOTIFICATIONS_DLQ, IMAGES


def test_dead_letters_are_counted_by_cause() -> None:
    """The most frequent first; a record that is no letter is said to be of an unknown one."""
    broker = MemoryBroker()
    producer = MemoryEventProducer(broker)
    for offset, error in enumerate(["ValidationError", "ValidationError", "ContractError"]):
        facts = DeadLetterFacts(
            topic=BUCKET_NOTIFICATIONS.name,
            partition=0,
            offset=offset,
            stage="read",
            error=error,
            message="no",
            attempts=1,
        )
        producer.append(
            ProducerRecord(BUCKET_NOTIFICATIONS_DLQ.name, "k", b"{}", headers=facts.headers())
        )
    producer.append(ProducerRecord(BUCKET_NOTIFICATIONS_DLQ.name, "k", b"no letter"))
    status = read_status(
        Settings(), MemoryEventLog(broker), clock=SystemClock(), wait=lambda _: None
    )
    latest = {"ValidationError": 2, "ContractError": 1, "unknown": 1}
    assert status.dead_letters == {
        BUCKET_NOTIFICATIONS_DLQ.name: DeadLetterCount(messages=4, latest=latest)
    }
    assert list(latest) == list(status.dead_letters[BUCKET_NOTIFICATIONS_DLQ.name].latest)


def test_each_hop_has_its_lag_age_and_rate() -> None:
    """Of what is committed while one looks, too."""
    clock = ManualClock()
    broker = MemoryBroker(partitions=1, clock=clock)
    log, producer = MemoryEventLog(broker), MemoryEventProducer(broker)
    for _ in range(5):
        producer.append(ProducerRecord(IMAGES.name, "a", b"x"))
    clock.advance(7.0)
    group = f"{Settings().worker.group}-live"

    def work(_: float) -> None:
        log.follow(IMAGES.name, {0: 0}, group=group).commit({TopicPartition(IMAGES.name, 0): 2})

    status = read_status(Settings(), log, clock=clock, window_s=2.0, wait=work)
    live = next(hop for hop in status.hops if hop.hop.name == "live")
    assert (live.lag, live.oldest_waiting_s, live.rate_per_s) == (3, 7.0, 1.0)
    backfill = next(hop for hop in status.hops if hop.hop.name == "backfill")
    assert (backfill.lag, backfill.oldest_waiting_s, backfill.rate_per_s) == (0, None, 0.0)


class SlowLog(MemoryEventLog):
    """A log that takes three seconds to connect to, and counts how often it is polled."""

    def __init__(self, broker: MemoryBroker, clock: ManualClock) -> None:
        super().__init__(broker)
        self.broker, self.clock = broker, clock
        self.polls: list[int] = []

    def lag(self, group: str, topics: Sequence[str], *, ages: bool = True) -> list[PartitionLag]:
        """See `EventLog.lag`."""
        self.clock.advance(3.0)
        return super().lag(group, topics, ages=ages)

    def follow(self, topic: str, starts: Mapping[int, int], *, group: str) -> CountedFollower:
        """See `EventLog.follow`."""
        places = {TopicPartition(topic, number): start for number, start in starts.items()}
        return CountedFollower(self.broker, places, group, self.polls)


class CountedFollower(MemoryFollower):
    """A follower that notes how many messages each poll found."""

    def __init__(
        self,
        broker: MemoryBroker,
        starts: Mapping[TopicPartition, int],
        group: str,
        polls: list[int],
    ) -> None:
        super().__init__(broker, starts, group)
        self.polls = polls

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """See `LogFollower.poll`."""
        found = super().poll(max_messages, timeout_s)
        self.polls.append(len(found))
        return found


def test_a_rate_counts_the_time_that_connecting_takes() -> None:
    """Between the two looks at one hop lie the looks at all the others."""
    clock = ManualClock()
    broker = MemoryBroker(partitions=1, clock=clock)
    log, producer = SlowLog(broker, clock), MemoryEventProducer(broker)
    for _ in range(5):
        producer.append(ProducerRecord(IMAGES.name, "a", b"x"))
    group = f"{Settings().worker.group}-live"

    def work(window_s: float) -> None:
        clock.advance(window_s)
        log.follow(IMAGES.name, {0: 0}, group=group).commit({TopicPartition(IMAGES.name, 0): 4})

    status = read_status(Settings(), log, clock=clock, window_s=2.0, wait=work)
    live = next(hop for hop in status.hops if hop.hop.name == "live")
    assert live.rate_per_s == 4 / (2.0 + 3.0 * len(hops_of(Settings())))


def test_dead_letters_are_read_to_their_end_and_not_waited_for() -> None:
    """An empty poll lasts a second, and there are many topics."""
    clock = ManualClock()
    broker = MemoryBroker(partitions=2, clock=clock)
    log, producer = SlowLog(broker, clock), MemoryEventProducer(broker)
    for key in "abcd":
        producer.append(ProducerRecord(BUCKET_NOTIFICATIONS_DLQ.name, key, b"no letter"))
    status = read_status(Settings(), log, clock=clock, wait=lambda _: None)
    assert status.dead_letters[BUCKET_NOTIFICATIONS_DLQ.name].latest == {"unknown": 4}
    assert sum(log.polls) == 4
    assert 0 not in log.polls
