"""What waits and what was dead-lettered, on a log in memory."""

from __future__ import annotations

from sightline.engine.clock import ManualClock, SystemClock
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.records import ProducerRecord, TopicPartition
from sightline.engine.settings import Settings
from sightline.infra.reporting.status import DeadLetterCount, read_status
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
